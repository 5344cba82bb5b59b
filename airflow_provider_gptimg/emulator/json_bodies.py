"""Reads request bodies: their size, their encoding, and strict JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from airflow_provider_gptimg.emulator.errors import ApiError

MAX_JSON_BYTES = 16 * 1024 * 1024
"""The largest JSON body that is read, in bytes. It is generous, so that inlined pictures get their own
error."""


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body, at most ``limit`` bytes, or answer 413; 415 if it is compressed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ApiError(
            415, message=f"The Content-Encoding {encoding[:60]!r} is not supported: send the body as it is."
        )
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
    except ClientDisconnect:  # nobody is left to read an answer, but there has to be one
        raise ApiError(400, message="The client disconnected before the body was complete.") from None
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object, whatever content type it claims."""
    return parse_object(await read_body(request, MAX_JSON_BYTES))


def require_json(request: Request) -> None:
    """Refuse a body without a JSON content type."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise ApiError(
            400, message=f"The Content-Type must be application/json, not {content_type or 'missing'}."
        )


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly: no NaN, no half characters, no deep nesting."""
    try:
        text = body.decode()  # not by json, which guesses other encodings and accepts half characters
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:  # an escaped half of a surrogate pair parses, but is not text
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
