"""How the emulator speaks: JSON bodies in, JSON answers and error envelopes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

MAX_JSON_BYTES = 16 * 1024 * 1024
"""The largest JSON body that is read; generous, so that inlined pictures get their own explanation."""

_DEFAULTS: dict[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is invalid."),
    401: ("unauthorized", "The API key is missing or wrong."),
    402: ("insufficient_quota", "The balance is not sufficient."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This path does not take that method."),
    410: ("expired", "This is no longer available."),
    413: ("request_too_large", "The request body is too large."),
    415: ("unsupported_media_type", "The content type is not supported."),
    422: ("content_policy_violation", "The content was refused."),
    429: ("rate_limit_exceeded", "Too many requests, slow down."),
    503: ("rate_limit_unavailable", "The service is temporarily unavailable."),
}
_TYPES = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error answer of the service; ``code`` and ``message`` default to the usual ones of ``status``."""

    def __init__(
        self,
        status: int,
        code: str | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        usual_code, usual_message = _DEFAULTS.get(
            status, ("internal_error", "Something went wrong.") if status >= 500 else _DEFAULTS[400]
        )
        self.status = status
        self.code = code or usual_code
        self.message = message or usual_message
        self.headers = dict(headers or {})
        super().__init__(self.message)

    def response(self) -> JSONResponse:
        """Return the envelope ``{"error": {"code", "message", "type"}}`` (contract: Errors)."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"code": self.code, "message": self.message, "type": kind}
        return JSONResponse({"error": error}, self.status, self.headers)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body, at most ``limit`` bytes, or answer 413."""
    declared = request.headers.get("content-length", "")
    too_large = ApiError(413, message=f"The request body is larger than {limit} bytes.")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_large
    except ClientDisconnect:  # nobody is left to read an answer, but something has to be answered
        raise ApiError(400, message="The client went away before the body was complete.") from None
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object, whatever content type it claims."""
    return parse_object(await read_body(request, MAX_JSON_BYTES))


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise ApiError(
            400, message=f"The Content-Type must be application/json, not {content_type or 'missing'}."
        )


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly: no NaN, no half characters, nothing too deep."""
    try:
        text = body.decode()  # not by json, which guesses at other encodings and lets half characters pass
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:  # an escaped half of a surrogate pair parses, but is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, message=f"The body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ApiError(400, message="The body must be a JSON object.")
    return value


def whole(value: object) -> object:
    """Return ``2`` for ``2.0``, which is the same JSON number; everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
