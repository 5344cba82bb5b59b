"""The pictures for a person to look at, found in the values that tasks hand on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, TypedDict

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.batch.json_lines import read_lines
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.result import PROMPT_CHARACTERS, TEXT_OF_A_VALUE, moment_in

FIELD = "images"
OF_A_BATCH = 200
"""Maximum number of pictures shown from a batch's manifest, from its beginning."""

MOST = 400
"""Maximum number of pictures of one review: they are on one page, and in one XCom."""

MAX_BYTES = 64 * 1024 * 1024
"""Maximum bytes of a file that is given only by its name; the gallery sends no larger one."""

_ALLOWED = (
    "the output of a task that made images, such as draft.output, a batch's result, http(s) URLs, paths or "
    "object-storage URIs; one or a list"
)
_OF_A_RESULT = (
    *("id", "generation_id", "prompt", "model", "size", "resolution"),
    *("expires_at", "cost_estimated"),
)
_OF_AN_IMAGE = ("index", "url", "uri", "sha256", "bytes", "width", "height", "format")


class Pictures(TypedDict):
    """The pictures of a review, as in its XCom.

    :param pictures: a flat dict for each: from its result ``generation_id``, ``prompt``, ``model``, ``size``,
        ``resolution``, ``expires_at``; from its image ``index`` and ``url``, or ``uri``, ``sha256``,
        ``bytes``, ``width``, ``height``; its own ``cost_usd``; and from a batch's item its ``id``.
    :param left_out: the number of further pictures that are not listed.
    :param expired: the number of pictures that the service no longer has.
    """

    pictures: list[dict[str, Any]]
    left_out: int
    expired: int


def pictures_in(given: object) -> Pictures:
    """Return the pictures in a given value, in its order.

    :param given: a result, a batch's result, an image of one, a URL, path or URI, or any nesting of lists
        of these, as XCom hands them over.
    :raises ApiError: INVALID for anything else, or if there is no picture; EXPIRED if the service no longer
        has any of them; STORAGE for a manifest or a file that cannot be read.
    """
    found: list[dict[str, Any]] = []
    left_out = expired = 0
    for picture in _pictures(given):
        if isinstance(picture, int):
            left_out += picture
        elif is_expired(picture):
            expired += 1
        elif len(found) < MOST:
            found.append(picture)
        else:
            left_out += 1
    if not found and expired:
        raise ApiError(
            Kind.EXPIRED,
            f"All {expired} image(s) to review are gone: the service keeps images for 24 hours. "
            "Clear the task that made them, or store them with output_path.",
        )
    if not found:
        raise invalid(FIELD, given, "it contains no image")
    return Pictures(pictures=found, left_out=left_out, expired=expired)


def is_expired(picture: Mapping[str, Any], now: float | None = None) -> bool:
    """Return whether only the service had a picture, and no longer has it."""
    return expires_in(picture, now) == 0.0


def expires_in(picture: Mapping[str, Any], now: float | None = None) -> float | None:
    """Return how many seconds a picture is still available, 0 if it is gone; None if that is unknown."""
    until = None if picture.get("uri") else moment_in(picture, "expires_at")
    return None if until is None else max(0.0, until - (time.time() if now is None else now))


def moment(seconds: float) -> str:
    """Return a time in Unix seconds in a form for people."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _pictures(given: object) -> Iterator[dict[str, Any] | int]:
    """Yield pictures, and for pictures that are left out their number."""
    if isinstance(given, str):
        yield _picture_at(given)
    elif isinstance(given, Mapping):
        yield from _of_mapping(given)
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        for some in given:
            yield from _pictures(some)
    else:
        raise invalid(FIELD, given, _ALLOWED)


def _of_mapping(given: Mapping[Any, Any]) -> Iterator[dict[str, Any] | int]:
    if isinstance(given.get("manifest"), str):
        yield from _of_manifest(given)
    elif isinstance(given.get("images"), list):
        yield from _of_result(given)
    elif given.get("uri") or given.get("url"):
        yield from _of_result({**given, "images": [given]})
    elif "generation_id" in given:
        raise invalid(
            FIELD,
            dict(given),
            f"generation {given['generation_id']} was {given.get('status')} and had no image yet: wait for "
            "it with GptImgGenerationSensor",
        )
    else:
        raise invalid(FIELD, dict(given), _ALLOWED)


def _of_manifest(batch: Mapping[Any, Any]) -> Iterator[dict[str, Any] | int]:
    shown = 0
    try:
        for line in read_lines(Place.of(batch["manifest"])):
            for picture in _of_result({**line, **line["request"]} if line else {"images": []}):
                if shown == OF_A_BATCH:
                    images = batch.get("images")
                    yield max(0, images - shown) if isinstance(images, int) else 0
                    return
                shown += 1
                yield picture
    except Exception as error:
        raise ApiError(
            Kind.STORAGE,
            f"The manifest {batch['manifest']} cannot be read to review its images "
            f"({type(error).__name__}: {error}).",
        ) from error


def _of_result(result: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    images = [image for image in result["images"] if isinstance(image, Mapping)]
    cost = result.get("cost_usd")
    common = _known(result, _OF_A_RESULT)
    if isinstance(common.get("prompt"), str):
        common["prompt"] = common["prompt"][:PROMPT_CHARACTERS]
    if isinstance(cost, (int, float)) and images:
        common["cost_usd"] = round(cost / len(images), 6)
    for position, image in enumerate(images):
        # An image that a review chose has all of these keys.
        yield {**common, "index": position, **_known(image, (*_OF_A_RESULT, *_OF_AN_IMAGE, "cost_usd"))}


def _known(record: Mapping[Any, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: record[name] for name in names if record.get(name) is not None}


def _picture_at(given: str) -> dict[str, Any]:
    text = given.strip()
    if text in ("", "None"):
        raise invalid(FIELD, given, f"it is empty; {_ALLOWED}")
    if text[0] in "[{(":
        raise invalid(FIELD, given, TEXT_OF_A_VALUE)
    if text.partition(":")[0].lower() in ("http", "https"):
        return {"index": 0, "url": text}
    return {"index": 0, "uri": text, **_seen(text)}


def _seen(where: str) -> dict[str, Any]:
    """Return the facts that identify a file; the gallery sends only files that were seen here."""
    try:
        seen = Place.of(where).seen(MAX_BYTES)
    except Exception as error:
        raise ApiError(
            Kind.STORAGE, f"The image {where} cannot be read to review it ({type(error).__name__}: {error})."
        ) from error
    if seen.format is None or seen.size > MAX_BYTES:
        raise invalid(FIELD, where, "a PNG, JPEG, WebP or GIF picture of at most 64 MB is needed")
    return {"sha256": seen.sha256, "bytes": seen.size, "format": seen.format}
