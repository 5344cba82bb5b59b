"""The error in an answer, by its HTTP status, or by its error code if the status says nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import FINAL_STATUSES, RUNNING, shorten
from airflow_provider_gptimg.api.wire import Reply, json_object, retry_after, said_in

RATE_LIMIT_UNAVAILABLE = "rate_limit_unavailable"
"""The only 503 after which the request can be repeated: it was not accepted (contract: Errors)."""

_KINDS = {
    401: Kind.AUTHENTICATION,
    402: Kind.QUOTA,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    # The request took too long to arrive. Whether it did arrive is unknown.
    408: Kind.UNAVAILABLE,
    422: Kind.POLICY,
    429: Kind.RATE_LIMITED,
}

_STATUSES = {
    "invalid_request": 400,
    "invalid_reference_images": 400,
    "unauthorized": 401,
    "authentication_error": 401,
    "insufficient_quota": 402,
    "quota_not_enough": 402,
    "task_not_found": 404,
    "task_not_exist": 404,
    "not_found_error": 404,
    "content_policy_violation": 422,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    RATE_LIMIT_UNAVAILABLE: 503,
    "model_not_found": 503,
}
"""The HTTP status that belongs to an error code (contract: Errors)."""

_STATUSES_OF_A_GENERATION = RUNNING | FINAL_STATUSES

_OTHERWISE_ANSWERED = {(400, "task_not_exist"), (403, "quota_not_enough")}
"""Codes that gateways send with another status than the contract's. The code is right."""

_NO_CHANNEL = re.compile(r"\bno\b.*\bchannel|无.*渠道", re.IGNORECASE)

_REMEDIES = {
    Kind.AUTHENTICATION: "Check the API key of the connection (its password).",
    Kind.QUOTA: "Top up the account's balance, or raise the limit of the key.",
    Kind.PERMISSION: "The key may not use this model, or the client is blocked.",
    Kind.POLICY: "Change the prompt or the reference images.",
    Kind.MODEL_UNAVAILABLE: "The service has no such model, or no channel for it.",
}


def error_in(reply: Reply, *, now: float) -> ApiError | None:
    """Return the error in an answer, None for a success (contract: Errors).

    An error envelope is an error even with status 200.

    :param now: Unix seconds, from which a ``Retry-After`` date counts.
    """
    is_success = 200 <= reply.status < 300
    if is_success and not _is_refusal(reply):
        return None
    code, said = _envelope(reply)
    status = reply.status
    if is_success or (status, code) in _OTHERWISE_ANSWERED:
        status = _status_of(code) or 400
    kind = _kind(status, code, said)
    described = f"{said} (code {code})" if code else said
    return ApiError(
        kind,
        f"The service answered {reply.status}: {described}. {_REMEDIES.get(kind, '')}".rstrip(),
        status=reply.status,
        code=code,
        retry_after=retry_after(reply.headers.get("retry-after"), now),
        not_accepted=kind is Kind.RATE_LIMITED or code == RATE_LIMIT_UNAVAILABLE,
    )


def _is_refusal(reply: Reply) -> bool:
    """Return whether an answer with a good status holds an error instead of the expected data."""
    if b'"error"' not in reply.body and b'"code"' not in reply.body:
        return False  # there are thousands of looks, and parsing here means parsing twice
    try:
        answer = json_object(reply)
    except ApiError:
        return False  # whoever reads the answer raises the error
    status = answer.get("status")
    if isinstance(status, str) and (answer.get("id") or status.strip().lower() in _STATUSES_OF_A_GENERATION):
        return False  # a generation; a failed one also has an "error"
    if answer.get("error"):
        return True
    holds_something = any(answer.get(name) is not None for name in ("id", "data", "success"))
    return not holds_something and _status_of(answer.get("code")) is not None


def _status_of(code: object) -> int | None:
    """Return the HTTP status that an error code stands for. Some services use the status as the code."""
    if not isinstance(code, (str, int)):
        return None
    text = str(code)
    if text in _STATUSES:
        return _STATUSES[text]
    return int(text) if re.fullmatch(r"[45][0-9]{2}", text, re.ASCII) else None


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
    """Return the code and message of an error answer. If it is no envelope, return its first characters."""
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
    if isinstance(error, Mapping):
        return _code(error), said_in(error)
    return _code(answer), shorten(str(error)) if error else said_in(answer)


def _code(envelope: Mapping[str, Any]) -> str | None:
    code = envelope.get("code") or envelope.get("type")
    return shorten(str(code), 60) if code else None
