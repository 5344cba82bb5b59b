"""The lineage of a task for the OpenLineage provider, if installed: which images it read and wrote."""

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
    """Return the lineage of a task, None if the OpenLineage provider is not installed.

    Every stored image belongs to the dataset of its folder, just as it belongs to the folder's Asset. File
    names differ from run to run, and a dataset that is written once is of no use. Datasets have the same
    names as Airflow's datasets for these Assets (``common.io`` and ``amazon``, which follow OpenLineage's
    naming conventions). Prompts and result URLs are private and left out. The provider itself adds the
    content of asset events (2.20 does, under ``airflow.task.outlets``).

    :param inputs: paths, URIs and http(s) URLs of the images that it started from.
    :param result: one or several of :class:`~airflow_provider_gptimg.result.Result`. For a failed task,
        what is known: ``{"generation_id": …}``, or None.
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
    # The facet holds one id. The ids of a batch are in its XCom.
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
    """Return OpenLineage's namespace and name for a file or folder.

    ``s3://bucket`` and key, ``file`` and absolute path, ``https://host`` and path. Of an http(s) URL,
    query and fragment are left out: in a signed URL the query is the key to the file.

    :raises ValueError: for any other text.
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
    """Return our facet ``{"costUsd": float, "estimated": bool}``; None if no cost is known."""
    costs = [result for result in results if result.get("cost_usd") is not None]
    if not costs:
        return None
    return _own_facet(
        costUsd=round(sum(result["cost_usd"] for result in costs), 6),
        estimated=any(result.get("cost_estimated") for result in costs),
    )


def _cached(results: Iterable[Mapping[str, Any]]) -> Any:
    """Return our facet ``{"images": int, "madeBy": [dict]}``: images made earlier, and by which tasks."""
    cached = [result for result in results if result.get("cached")]
    if not cached:
        return None
    makers: list[Mapping[str, Any]] = []
    for result in cached:
        if (maker := result.get("made_by")) and maker not in makers:
            makers.append(maker)
    return _own_facet(images=sum(len(result["images"]) for result in cached), madeBy=makers)


def _own_facet(**facts: Any) -> Any:
    """Return a facet with our own fields; None if the OpenLineage client is too old for it."""
    from openlineage.client.generated.base import RunFacet

    facet = RunFacet()
    if not hasattr(facet, "with_additional_properties"):
        return None
    return facet.with_additional_properties(**facts)


def _subset(uris: list[str]) -> OutputDatasetFacet | None:
    """Return the facet that names the files that this run wrote in a folder."""
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
