"""Assets for folders of images, and events that say which images were stored there."""

from __future__ import annotations

import logging
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import urlsplit

from airflow.sdk import Asset, AssetAlias, ObjectStoragePath
from airflow.sdk.definitions.asset import AssetRef, AssetUniqueKey

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.exceptions import translated

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import OutletEventAccessorsProtocol

log = logging.getLogger(__name__)

FIELD = "output_path"

_ALLOWED = "a folder's URI such as s3://bucket/cards/ or file:///data/cards, or an absolute path"
_TEMPLATE = re.compile(r"\{[{%#]")
_SAME_SCHEME = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": "file"}
"""Schemes that Airflow's storages and fsspec treat like another scheme."""


class EventExtra(TypedDict):
    """The ``extra`` of an asset event: plain JSON, always with every key.

    :param uris: where the stored images are; without ``output_path`` the service's URLs.
    :param sha256: hashes of the stored images, in the order of ``uris``; empty if they are not stored.
    :param expires_at: when the URLs expire (ISO 8601, UTC); None for stored images, which stay.
    :param prompt: the first 200 characters of the prompt.
    :param cost_usd: cost of the whole generation, also in each event of an alias that has several folders.
    """

    generation_id: str
    uris: list[str]
    sha256: list[str]
    expires_at: str | None
    prompt: str | None
    model: str | None
    size: str | None
    cost_usd: float | None
    cost_estimated: bool
    cached: bool


class BatchEventExtra(TypedDict):
    """The ``extra`` of a batch's asset event. The manifest describes each image."""

    manifest: str
    total: int
    completed: int
    failed: int
    images: int
    cost_usd: float | None
    cost_estimated: bool


def image_asset(
    output_path: str | os.PathLike[str] | ObjectStoragePath,
    *,
    name: str | None = None,
    group: str = "asset",
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the Asset for a folder of images. All ways to write the folder give the same Asset.

    A connection id in the URI is not part of the asset: it says how to get there, not where it is.
    Airflow identifies an asset by name and URI together, and allows one name for each URI. If you give a
    folder a ``name``, use the same name everywhere.

    :param output_path: the fixed part of an operator's ``output_path``, without templates.
    :param name: the asset's name in Airflow's UI; by default its URI.
    :raises GptImgValidationError: for a template, a relative path, or a path that no URI can express.
    :raises ValueError: if Airflow's own ``Asset`` refuses a value.
    """
    uri = location(output_path)
    return Asset(name=uri if name is None else name, uri=uri, group=group, extra=extra)


def location(path: object) -> str:
    """Return the canonical URI of a file or folder, without a connection id.

    Object keys are kept as they are, because for a bucket ``a//b`` and ``a/b`` are different.

    :param path: an absolute path, or a URI that ``ObjectStoragePath`` opens; text, ``Path`` or
        ``ObjectStoragePath``.
    :raises GptImgValidationError: if it is none of these, or if Airflow's ``Asset`` would cut or reorder it.
    """
    if isinstance(path, (os.PathLike, ObjectStoragePath)):
        path = str(path)
    with translated():
        if not isinstance(path, str) or not path.strip():
            raise invalid(FIELD, path, _ALLOWED)
        if _TEMPLATE.search(path):
            raise invalid(
                FIELD, path, "an asset's URI is the same for every run: give the fixed part of the path"
            )
        if "?" in path or "#" in path:
            raise invalid(FIELD, path, "in an asset's URI, ? and # end the path")
        try:
            scheme, host, key = _split(path.strip())
        except ValueError as error:
            raise invalid(FIELD, path, f"{_ALLOWED} ({error})") from None
        if scheme == "file":
            if host or not key.startswith("/"):
                raise invalid(FIELD, path, f"{_ALLOWED}; file:// must be followed by an absolute path")
            # POSIX keeps two leading slashes in a path, but on Linux it is the same folder as with one.
            return "file://" + posixpath.normpath(f"/{key.lstrip('/')}")
        if not host:
            raise invalid(FIELD, path, f"it has no bucket; {_ALLOWED}")
        return f"{scheme}://{host}/{key.removeprefix('/').rstrip('/')}"


def images_by_folder(result: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return a result's stored images by folder, with the folder as :func:`location` writes it."""
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for image in result.get("images") or ():
        if uri := image.get("uri"):
            folders.setdefault(location(uri[: uri.rindex("/") + 1]), []).append(image)
    return folders


def announce(context: Context, outlets: Iterable[Any], result: Mapping[str, Any]) -> None:
    """Write into the event of every outlet which images there are. Airflow sends it when the task succeeds.

    Values that the DAG's author put into an event's ``extra`` stay, even under one of our keys. An
    ``AssetAlias`` gets an event for every folder in which images were stored. Errors are only logged: the
    images are paid for, and a failed note about them must not fail the task.

    :param outlets: the task's outlets. Outlets without events (such as ``File``) are skipped.
    :param result: a :class:`~airflow_provider_gptimg.result.Result`, or the result of a batch.
    """
    for outlet in outlets:
        try:
            if isinstance(outlet, AssetAlias):
                _announce_alias(context["outlet_events"], outlet, result)
            elif isinstance(outlet, (Asset, AssetRef)):
                _add(context["outlet_events"][outlet], event_extra(result))
        except Exception as error:  # noqa: BLE001 - Airflow's, a secret backend's, or the author's extra
            log.warning(
                "The asset event of %s does not say which images were made: %s: %s",
                outlet,
                type(error).__name__,
                error,
            )


def event_extra(result: Mapping[str, Any]) -> EventExtra | BatchEventExtra:
    """Return the ``extra`` of an asset event for a result."""
    if "manifest" in result:
        return cast("BatchEventExtra", {name: result[name] for name in BatchEventExtra.__annotations__})
    hashes = [image["sha256"] for image in result["images"] if "uri" in image]
    return EventExtra(
        generation_id=result["generation_id"],
        uris=list(result["urls"]),
        sha256=hashes,
        expires_at=None if hashes else result["expires_at"],
        prompt=result["prompt"],
        model=result["model"],
        size=result["size"],
        cost_usd=result["cost_usd"],
        cost_estimated=result["cost_estimated"],
        cached=result["cached"],
    )


def _split(path: str) -> tuple[str, str, str]:
    if path.startswith("/"):
        return "file", "", path
    parts = urlsplit(path)
    scheme = parts.scheme.lower()
    return _SAME_SCHEME.get(scheme, scheme) or "file", parts.netloc.rpartition("@")[2], parts.path


def _announce_alias(
    events: OutletEventAccessorsProtocol, alias: AssetAlias, result: Mapping[str, Any]
) -> None:
    event = events[alias]
    folders = images_by_folder(result)
    if "manifest" in result:
        folders = {location(result["manifest"].rpartition("/")[0] + "/"): []}
    for folder, images in folders.items():
        asset = Asset(uri=folder)
        key = AssetUniqueKey.from_asset(asset)
        # The author may have added the event already, in pre_execute.
        if not any(added.dest_asset_key == key for added in event.asset_alias_events):
            event.add(asset)
        own = {**result, "images": images, "urls": [image["uri"] for image in images]}
        for added in event.asset_alias_events:
            if added.dest_asset_key == key:
                _add(added, event_extra(own))
    if not event.asset_alias_events:
        log.info("Asset alias %s gets no event: without output_path there is no folder.", alias.name)


def _add(event: Any, extra: Mapping[str, Any]) -> None:
    event.extra = {**extra, **event.extra}
