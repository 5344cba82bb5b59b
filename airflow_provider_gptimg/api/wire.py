"""The wire format: requests as they are sent, and what answers mean. No I/O, no HTTP library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn
from urllib.parse import quote

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.generation import MAX_ID_CHARACTERS, Generation, shorten
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

    :param url: where it can be referenced.
    :param size: bytes, None where the answer does not say.
    """

    id: str | None
    url: str
    mime_type: str | None
    size: int | None


@dataclass(frozen=True)
class Balance:
    """The account's money (contract: Balance), in the service's currency; -1 remains when unlimited."""

    remaining: float
    used: float | None
    unlimited: bool


def submission(request: GenerationRequest, client_business_id: str | None) -> Request:
    """Return the request that submits a generation (contract: Submit); its files must have URLs by now."""
    if request.files:
        raise TypeError("reference files are uploaded before a generation is submitted")
    body = json.dumps(request.body(client_business_id), ensure_ascii=False, allow_nan=False)
    return Request("POST", "/v1/images/generations", body=body.encode(), category="submit")


def status_query(generation_or_business_id: str) -> Request:
    """Return the request that asks for a generation, by either of its ids (contract: Status).

    :raises ApiError: kind INVALID for what would lead to another path, such as ``..``.
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
            f"{file.name} has {len(file.content)} bytes: an upload has 1 to {MAX_UPLOAD_BYTES} bytes.",
        )
    # A file system may hold names that are no text; the service needs none.
    name = file.name.encode("utf-8", "replace").decode()
    return Request("POST", "/v1/uploads/images", file=replace(file, name=name))


def balance() -> Request:
    """Return the request for the account's balance, which is free (contract: Balance)."""
    return Request("GET", "/v1/balance")


def read_generation(reply: Reply, *, asked_id: str | None = None) -> Generation:
    """Read the answer to a submission or a status query.

    :raises ApiError: kind MALFORMED.
    """
    return Generation.read(
        json_object(reply), asked_id=asked_id, answered_at=_http_date(reply.headers.get("date"))
    )


def read_upload(reply: Reply) -> Upload:
    """Read the answer to an upload.

    :raises ApiError: kind BAD_REQUEST if the service says it did not succeed, MALFORMED without a URL.
    """
    answer = json_object(reply)
    data = answer.get("data")
    if answer.get("success") is False:
        raise ApiError(Kind.BAD_REQUEST, f"The upload was refused: {_message(answer)}.", status=reply.status)
    if not isinstance(data, Mapping) or not isinstance(data.get("url"), str):
        _malformed(reply, "names no URL")
    size = data.get("size")
    return Upload(
        id=data["id"] if isinstance(data.get("id"), str) else None,
        url=data["url"],
        mime_type=data["mime_type"] if isinstance(data.get("mime_type"), str) else None,
        size=size if isinstance(size, int) else None,
    )


def read_balance(reply: Reply) -> Balance:
    """Read the answer to a balance query.

    :raises ApiError: kind AUTHENTICATION where it says ``success: false`` (an unknown key can answer
        200 that way, contract: Balance); MALFORMED without a number.
    """
    answer = json_object(reply)
    if answer.get("success") is False:
        raise ApiError(Kind.AUTHENTICATION, f"The key was refused: {_message(answer)}.", status=reply.status)
    remaining, used = answer.get("remain_balance"), answer.get("used_balance")
    if isinstance(remaining, bool) or not isinstance(remaining, (int, float)) or not _is_finite(remaining):
        _malformed(reply, "names no remain_balance")
    return Balance(
        remaining=remaining,
        used=used if isinstance(used, (int, float)) and _is_finite(used) else None,
        unlimited=answer.get("unlimited_quota") is True or remaining == -1,
    )


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def json_object(reply: Reply) -> Mapping[str, Any]:
    """Return the JSON object in an answer's body.

    :raises ApiError: kind MALFORMED for HTML, empty, truncated and non-object answers, showing the
        first 200 characters.
    """
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        _malformed(reply, "is not JSON")
    if not isinstance(answer, dict):
        _malformed(reply, "is not a JSON object")
    return answer


def error_in(reply: Reply, *, now: float) -> ApiError | None:
    """Return what an answer says went wrong, None for a success (contract: Errors).

    :param now: Unix seconds, against which a ``Retry-After`` date is measured.
    """
    if 200 <= reply.status < 300:
        return None
    code, said = _envelope(reply)
    kind = _kind(reply.status, code, said)
    described = f"{said} (code {code})" if code else said
    return ApiError(
        kind,
        f"The service answered {reply.status}: {described}. {_REMEDIES.get(kind, '')}".rstrip(),
        status=reply.status,
        code=code,
        retry_after=retry_after(reply.headers.get("retry-after"), now),
        not_accepted=kind is Kind.RATE_LIMITED or code == RATE_LIMIT_UNAVAILABLE,
    )


_KINDS = {
    401: Kind.AUTHENTICATION,
    402: Kind.QUOTA,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    # A request that took too long to arrive: nobody says whether it did.
    408: Kind.UNAVAILABLE,
    422: Kind.POLICY,
    429: Kind.RATE_LIMITED,
}

RATE_LIMIT_UNAVAILABLE = "rate_limit_unavailable"
"""The one 503 that is worth another try at once: the request was not accepted (contract: Errors)."""

_NO_CHANNEL = re.compile(r"\bno\b.*\bchannel|无.*渠道", re.IGNORECASE)

_REMEDIES = {
    Kind.AUTHENTICATION: "Check the API key of the connection (its password).",
    Kind.QUOTA: "Top up the account's balance.",
    Kind.PERMISSION: "The key may not use this model, or the client is blocked.",
    Kind.POLICY: "Change the prompt or the reference images.",
    Kind.MODEL_UNAVAILABLE: "The service has no such model, or no channel for it.",
}


def _kind(status: int, code: str | None, said: str) -> Kind:
    if status in _KINDS:
        return _KINDS[status]
    if status < 500:
        return Kind.BAD_REQUEST
    no_channel = code == "model_not_found" or _NO_CHANNEL.search(said) is not None
    if status == 503 and no_channel and code != RATE_LIMIT_UNAVAILABLE:
        return Kind.MODEL_UNAVAILABLE
    return Kind.UNAVAILABLE


def _envelope(reply: Reply) -> tuple[str | None, str]:
    """Return the code and message of an error answer; its first characters where it is no envelope."""
    try:
        answer = json_object(reply)
    except ApiError:
        if 300 <= reply.status < 400:
            target = shorten(reply.headers.get("location", "another place"))
            return (
                None,
                f"a redirect to {target}, which is not followed: set the connection's host to the final URL",
            )
        return None, shorten(reply.body.decode("utf-8", "replace")) or "nothing"
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return None, shorten(str(error)) if error else _message(answer)
    code = error.get("code") or error.get("type")
    return shorten(str(code), 60) if code else None, _message(error)


def _message(answer: Mapping[str, Any]) -> str:
    message = answer.get("message")
    return (
        shorten(message).rstrip(".。") if isinstance(message, str) and message else shorten(str(dict(answer)))
    )


def _malformed(reply: Reply, what: str) -> NoReturn:
    start = shorten(reply.body.decode("utf-8", "replace"))
    raise ApiError(
        Kind.MALFORMED,
        f"The answer (HTTP {reply.status}, {len(reply.body)} bytes) {what}: {start!r}.",
        status=reply.status,
    )


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for, given as seconds or as an HTTP date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = _http_date(value)
        seconds = math.nan if date is None else date - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _http_date(value: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(value or "")
        # HTTP dates are in GMT, also the old forms that do not say so.
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
