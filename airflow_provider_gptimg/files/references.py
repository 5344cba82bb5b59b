"""Reference images as DAG authors give them: URLs, files in any storage, results of other tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pendulum
from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.image_formats import MAX_UPLOAD_BYTES, MIME_TYPES
from airflow_provider_gptimg.api.request import ReferenceFile
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.result import TEXT_OF_A_VALUE

FIELD = "reference_images"

_SEVERAL = "it contains a line break: give several as a list"
_ALLOWED = {
    FIELD: "http(s) URLs, local paths, object-storage URIs such as s3://bucket/key, the result of a task "
    "that made or uploaded images; one or a list",
    "files": "local paths, object-storage URIs such as s3://bucket/key, the result of a task that stored "
    "images; one or a list",
}


def references(given: object, field: str = FIELD) -> list[str | ReferenceFile] | None:
    """Return the given references: URLs unchanged, files with their content checked.

    :param given: a text, a path, a result dict (its ``urls``, or its ``uri`` or ``url``), or any
        nesting of lists of these, as XCom hands them over.
    :param field: the parameter's name, for messages.
    :raises ApiError: INVALID if it is not a reference, or not a picture of 1 byte to 10 MB; EXPIRED for
        a result with dead URLs. A file that cannot be read is returned with its ``problem``.
    """
    if given is None:
        return None
    return [
        text if _scheme(text) in ("http", "https") else _file(text, field)
        for text in reference_texts(given, field)
    ]


def reference_texts(given: object, field: str = FIELD) -> list[str]:
    """Return the given URLs, paths and URIs without reading any file.

    :raises ApiError: INVALID if it is not a reference; EXPIRED, see :func:`references`.
    """
    return list(_texts(given, field))


def _texts(given: object, field: str) -> Iterator[str]:
    if isinstance(given, (str, os.PathLike, ObjectStoragePath)):
        yield _text(given, field)
    elif isinstance(given, Mapping):
        yield from _texts_of_result(given, field)
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        for item in given:
            yield from _texts(item, field)
    else:
        raise invalid(field, given, _ALLOWED[field])


def _text(given: str | os.PathLike[str] | ObjectStoragePath, field: str) -> str:
    if not isinstance(given, str):
        # Whatever its name looks like. The text of an ObjectStoragePath names its connection.
        return str(given)
    text = given.strip()
    if not text or text == "None":
        raise invalid(field, given, f"it is empty; {_ALLOWED[field]}")
    if text[0] in "[{(":
        raise invalid(field, given, TEXT_OF_A_VALUE)
    if _scheme(text) == "data":
        raise invalid(field, text, "the service takes no base64 and no data URIs: give the file itself")
    if _scheme(text) in ("http", "https") and _has_line_break(text):
        raise invalid(field, text, _SEVERAL)
    return text


def _texts_of_result(result: Mapping[Any, Any], field: str) -> Iterator[str]:
    for key in ("urls", "uri", "url"):
        if result.get(key):
            _check_alive(result)
            yield from _texts(result[key], field)
            return
    if "generation_id" in result:
        raise invalid(
            field,
            dict(result),
            f"generation {result['generation_id']} was {result.get('status')} and had no image yet: wait for "
            "it with GptImgGenerationSensor",
        )
    raise invalid(field, dict(result), "a dict must be a result, with urls, uri or url")


def _check_alive(result: Mapping[Any, Any]) -> None:
    expires_at, stored = result.get("expires_at"), any("uri" in image for image in result.get("images") or ())
    if expires_at and not stored and pendulum.parse(str(expires_at)).timestamp() <= time.time():  # type: ignore[union-attr]
        raise ApiError(
            Kind.EXPIRED,
            f"The URLs of the reference images expired at {expires_at}. Make the images again, or store them "
            "with output_path next time.",
            generation_id=result.get("generation_id"),
        )


def _has_line_break(text: str) -> bool:
    return "\n" in text or "\r" in text


def _scheme(text: str) -> str:
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon else ""


def _file(where: str, field: str) -> ReferenceFile:
    try:
        seen = Place.of(where).seen(MAX_UPLOAD_BYTES)
    except FileNotFoundError as error:
        if _has_line_break(where):
            raise invalid(field, where, f"no file has this name; {_SEVERAL}") from None
        return ReferenceFile(where, "", 0, "", partial(_read, where), problem=_unreadable(where, error))
    except Exception as error:  # noqa: BLE001 - a storage may raise anything
        return ReferenceFile(where, "", 0, "", partial(_read, where), problem=_unreadable(where, error))
    if seen.size > MAX_UPLOAD_BYTES:
        raise invalid(field, where, f"it has more than {MAX_UPLOAD_BYTES} bytes, which is the maximum")
    if seen.format is None:
        found = f"begins with {seen.start!r}" if seen.size else "is empty"
        raise invalid(field, where, f"a PNG, JPEG, WebP or GIF picture is needed, but this file {found}")
    return ReferenceFile(where, seen.sha256, seen.size, MIME_TYPES[seen.format], partial(_read, where))


def _read(where: str) -> bytes:
    try:
        with Place.of(where).open() as file:
            content: bytes = file.read(MAX_UPLOAD_BYTES + 1)
            return content
    except Exception as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: Exception) -> ApiError:
    return ApiError(
        Kind.REFERENCE,
        f"The reference image {where} cannot be read ({type(error).__name__}: {error}). Nothing was paid.",
    )
