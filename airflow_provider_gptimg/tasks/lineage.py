"""What the OpenLineage provider is told of a task, where it is installed: from which images, to where."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_gptimg.assets import images_by_folder, location

if TYPE_CHECKING:
    from typing import TypeAlias

    from airflow.providers.common.compat.openlineage.facet import InputDataset, OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.generated.base import OutputDatasetFacet

    Lineage: TypeAlias = OperatorLineage[Any, Any]

log = logging.getLogger(__name__)


def lineage_of(
    *, inputs: Iterable[str], result: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, service: str
) -> Lineage | None:
    """Return the lineage of a task, None where the OpenLineage provider is not installed.

    Every stored image belongs to the dataset of its folder, as it belongs to the folder's Asset: file
    names differ from run to run, and datasets that are written once lead nowhere. Datasets are called
    as Airflow calls the datasets of the same Assets (``common.io`` and ``amazon``, which follow OpenLineage's
    naming conventions). Prompts and result URLs stay out: they are private. What an
    asset event says, the provider adds on its own (2.20 does, under ``airflow.task.outlets``).

    :param inputs: paths, URIs and http(s) URLs of the images it started from.
    :param result: one or several of :class:`~airflow_provider_gptimg.result.Result`; of a task that
        failed, what is known: ``{"generation_id": …}``, or None.
    :param service: base URL of the service.
    """
    try:
        from airflow.providers.common.compat.openlineage.facet import ExternalQueryRunFacet
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    results = [result] if isinstance(result, Mapping) else list(result or ())
    ids = dict.fromkeys(each["generation_id"] for each in results)
    lineage: Lineage = OperatorLineage(inputs=_inputs(inputs), outputs=_outputs(results))
    # The facet has room for one id; the ids of a batch are in its XCom.
    if len(ids) == 1:
        lineage.run_facets["externalQuery"] = ExternalQueryRunFacet(
            externalQueryId=next(iter(ids)), source=_without_user(service)
        )
    if cost := _cost(results):
        lineage.run_facets["gptimg_cost"] = cost
    if cached := _cached(results):
        lineage.run_facets["gptimg_cached"] = cached
    return lineage


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name by which OpenLineage knows a file or folder.

    ``s3://bucket`` and key, ``file`` and absolute path, ``https://host`` and path. What an http(s)
    URL carries beyond its path is left out: in a signed URL that is the key to the file.

    :raises ValueError: if it is none of these.
    """
    parts = urlsplit(uri)
    if parts.scheme.lower() in ("http", "https"):
        uri = uri.partition("?")[0].partition("#")[0]
    elif not parts.scheme:
        uri = str(Path(uri).absolute())
    parts = urlsplit(location(uri))
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.removeprefix("/") or "/"


def _inputs(uris: Iterable[str]) -> list[InputDataset]:
    from airflow.providers.common.compat.openlineage.facet import InputDataset

    names: dict[tuple[str, str], None] = {}
    for uri in uris:
        try:
            names[dataset_name(uri)] = None
        except ValueError as error:
            log.debug("No dataset for an input: %s", error)
    return [InputDataset(namespace=namespace, name=name) for namespace, name in names]


def _outputs(results: Iterable[Mapping[str, Any]]) -> list[OutputDataset]:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    folders: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for folder, images in images_by_folder(result).items():
            folders.setdefault(folder, []).extend(images)
    outputs = []
    for folder, images in folders.items():
        namespace, name = dataset_name(folder)
        facets: dict[str, Any] = {
            "outputStatistics": OutputStatisticsOutputDatasetFacet(
                size=sum(image["bytes"] for image in images), fileCount=len(images)
            )
        }
        if subset := _subset([f"{folder.rstrip('/')}/{image['uri'].rpartition('/')[2]}" for image in images]):
            facets["subset"] = subset
        outputs.append(OutputDataset(namespace=namespace, name=name, outputFacets=facets))
    return outputs


def _cost(results: Iterable[Mapping[str, Any]]) -> Any:
    """Return a facet of our own, ``{"costUsd": float, "estimated": bool}``; None where nothing is known."""
    costs = [result for result in results if result.get("cost_usd") is not None]
    if not costs:
        return None
    return _own_facet(
        costUsd=round(sum(result["cost_usd"] for result in costs), 6),
        estimated=any(result.get("cost_estimated") for result in costs),
    )


def _cached(results: Iterable[Mapping[str, Any]]) -> Any:
    """Return a facet of our own, ``{"images": int, "madeBy": [dict]}``: what was made before, and by whom."""
    cached = [result for result in results if result.get("cached")]
    if not cached:
        return None
    makers: list[Mapping[str, Any]] = []
    for result in cached:
        if (maker := result.get("made_by")) and maker not in makers:
            makers.append(maker)
    return _own_facet(images=sum(len(result["images"]) for result in cached), madeBy=makers)


def _own_facet(**facts: Any) -> Any:
    """Return a facet with fields of our own; None where the client of OpenLineage is too old for it."""
    from openlineage.client.generated.base import RunFacet

    facet = RunFacet()
    if not hasattr(facet, "with_additional_properties"):
        return None
    return facet.with_additional_properties(**facts)


def _subset(uris: list[str]) -> OutputDatasetFacet | None:
    """Return the facet that names the files of a folder that this run wrote."""
    try:
        from openlineage.client.generated.base_subset_dataset import (
            LocationSubsetCondition,
            OutputSubsetOutputDatasetFacet,
        )
    except ImportError:  # an older client; the oldest of Airflow 3 is 1.31
        return None
    return OutputSubsetOutputDatasetFacet(outputCondition=LocationSubsetCondition(locations=uris))


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
