"""The wire format: how requests are sent, and what answers mean. No I/O, no HTTP library."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn
from urllib.parse import quote

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.generation import MAX_ID_CHARACTERS, Generation, read_url, shorten
from airflow_provider_gptimg.api.image_formats import MAX_UPLOAD_BYTES
from airflow_provider_gptimg.api.request import GenerationRequest

Category = Literal["submit", "query", "other"]
"""Which of the account's two rate limits a request counts against (contract: Rate limits)."""


@dataclass(frozen=True)
class File:
    """A file to upload.

    :param name: its name, without folders.
    :param content: its bytes.
    :param mime_type: such as ``image/png``.
    """

    name: str
    content: bytes
    mime_type: str


@dataclass(frozen=True)
class Request:
    """One HTTP request below the base URL; ``body`` is JSON already encoded as UTF-8."""

    method: Literal["GET", "POST"]
    path: str
    body: bytes | None = None
    file: File | None = None
    category: Category = "other"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: status, headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Upload:
    """An uploaded file (contract: Upload).

    :param url: the URL by which a request refers to it.
    :param size: bytes, None if the answer does not say.
    """

    id: str | None
    url: str
    mime_type: str | None
    size: int | None


def submission(request: GenerationRequest, client_business_id: str | None) -> Request:
    """Return the request that submits a generation (contract: Submit). Its files must already have URLs."""
    if request.files:
        raise TypeError("reference files are uploaded before a generation is submitted")
    body = json.dumps(request.body(client_business_id), ensure_ascii=False, allow_nan=False)
    return Request("POST", "/v1/images/generations", body=body.encode(), category="submit")


def status_query(generation_or_business_id: str) -> Request:
    """Return the request that asks for a generation, by either of its ids (contract: Status).

    :raises ApiError: kind INVALID for an id that would lead to another path, such as ``..``.
    """
    name = generation_or_business_id.encode("utf-8", "replace")
    if not name.strip(b". ") or len(generation_or_business_id) > MAX_ID_CHARACTERS:
        raise invalid("generation_id", generation_or_business_id, "it must name a generation")
    return Request("GET", f"/v1/images/generations/{quote(name, safe='')}", category="query")


def upload(file: File) -> Request:
    """Return the request that uploads a file (contract: Upload).

    :raises ApiError: kind INVALID if it is empty or over 10 MB.
    """
    if not 0 < len(file.content) <= MAX_UPLOAD_BYTES:
        raise ApiError(
            Kind.INVALID,
            f"{file.name} has {len(file.content)} bytes: an upload must have 1 to {MAX_UPLOAD_BYTES} bytes.",
        )
    # A file system may have names that are not text. The service does not need the exact name.
    name = file.name.encode("utf-8", "replace").decode()
    return Request("POST", "/v1/uploads/images", file=replace(file, name=name))


def balance() -> Request:
    """Return the free request for what the key may still spend (contract: Balance)."""
    return Request("GET", "/v1/balance")


def account_balance() -> Request:
    """Return the free request for the balance of the whole account (contract: Balance)."""
    return Request("GET", "/v1/user/balance")


def read_generation(reply: Reply, *, asked_id: str | None = None) -> Generation:
    """Read the answer to a submission or a status query.

    :raises ApiError: kind MALFORMED; BAD_REQUEST if the service says it did not succeed.
    """
    answer = json_object(reply)
    if answer.get("success") is False and not answer.get("id"):
        raise ApiError(Kind.BAD_REQUEST, f"The request was refused: {said_in(answer)}.", status=reply.status)
    return Generation.read(answer, asked_id=asked_id, answered_at=_http_date(reply.headers.get("date")))


def read_upload(reply: Reply) -> Upload:
    """Read the answer to an upload.

    :raises ApiError: kind BAD_REQUEST if the service says it did not succeed, MALFORMED without a URL.
    """
    answer = json_object(reply)
    data = answer.get("data")
    if answer.get("success") is False:
        raise ApiError(Kind.BAD_REQUEST, f"The upload was refused: {said_in(answer)}.", status=reply.status)
    url = data.get("url") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(url, str) or not (url := read_url(url)):
        malformed(reply, "has no URL")
    size = data.get("size")
    return Upload(
        id=data["id"] if isinstance(data.get("id"), str) else None,
        url=url,
        mime_type=data["mime_type"] if isinstance(data.get("mime_type"), str) else None,
        size=size if isinstance(size, int) else None,
    )


def json_object(reply: Reply) -> Mapping[str, Any]:
    """Return the JSON object in an answer's body.

    :raises ApiError: kind MALFORMED for HTML, empty, truncated and non-object answers. It shows the first
        200 characters.
    """
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        malformed(reply, "is not JSON")
    if not isinstance(answer, dict):
        malformed(reply, "is not a JSON object")
    return answer


def malformed(reply: Reply, what: str) -> NoReturn:
    """Raise the error for an answer that cannot be read, showing how it begins.

    :raises ApiError: kind MALFORMED.
    """
    start = shorten(reply.body.decode("utf-8", "replace"))
    raise ApiError(
        Kind.MALFORMED,
        f"The answer (HTTP {reply.status}, {len(reply.body)} bytes) {what}: {start!r}.",
        status=reply.status,
    )


def said_in(answer: Mapping[str, Any]) -> str:
    """Return the message in an answer, or the whole answer if it has none."""
    message = answer.get("message")
    return (
        shorten(message).rstrip(".。") if isinstance(message, str) and message else shorten(str(dict(answer)))
    )


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, from seconds or an HTTP date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = _http_date(value)
        seconds = math.nan if date is None else date - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _http_date(value: str | None) -> float | None:
    """Return the Unix seconds of an HTTP date, None for other texts."""
    try:
        date = parsedate_to_datetime(value or "")
        # HTTP dates are in GMT, even the old forms that do not say so.
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
