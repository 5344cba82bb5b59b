"""Access control: API keys and, on request, user agents (contract: Base and auth)."""

from __future__ import annotations

import re

from starlette.requests import Request

from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.state import Emulator

_LIBRARY = re.compile(
    r"(python-|aiohttp/|httpx/|go-http-client/|node-fetch|axios/|okhttp/|java/)", re.IGNORECASE
)
"""Default user agents of libraries. curl is not among them, because people use it by hand."""

UNKNOWN_KEY = "The API key is not valid."


def bearer(request: Request) -> str:
    """Return the key of the request, valid or not; 401 if it has none that starts with ``sk-``."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key.startswith("sk-"):
        raise ApiError(401, message="Send your API key: Authorization: Bearer sk-…")
    return key


def is_unknown(key: str) -> bool:
    """Whether the service does not know the key."""
    return key.startswith("sk-invalid")


def has_no_money(key: str) -> bool:
    """Whether the key belongs to an account without money."""
    return key.startswith("sk-broke")


def has_no_quota(key: str) -> bool:
    """Whether the key has no quota of its own: only the account's money limits it (contract: Balance)."""
    return key.startswith("sk-unlimited")


def authorized(request: Request, emulator: Emulator) -> str:
    """Return the key of the request if it may call; 401 or 403 otherwise."""
    agent(request, emulator)
    key = bearer(request)
    if is_unknown(key):
        raise ApiError(401, message=UNKNOWN_KEY)
    return key


def agent(request: Request, emulator: Emulator) -> None:
    """Answer 403 to a client without a user agent of its own, if the emulator is set to be strict."""
    name = request.headers.get("user-agent", "").strip()
    if emulator.settings.strict_user_agent and (not name or _LIBRARY.match(name)):
        raise ApiError(403, message=f"Blocked client: send a User-Agent of your own, not {name!r}.")
