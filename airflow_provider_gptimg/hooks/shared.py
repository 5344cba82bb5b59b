"""What a process shares per account: one limiter, what it learned, and one client per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_gptimg.api.client import AsyncClient, warm_up
from airflow_provider_gptimg.api.limits import Buckets
from airflow_provider_gptimg.api.schedule import Schedules
from airflow_provider_gptimg.api.settings import Settings


@lru_cache(maxsize=64)
def buckets_for(settings: Settings) -> Buckets:
    """Return the process's limiter for an account; the same for equal settings."""
    return Buckets(settings.limits)


@lru_cache(maxsize=64)
def schedules_for(settings: Settings) -> Schedules:
    """Return what the process learned of an account's generations; it outlives the client."""
    return Schedules()


@dataclass
class _Shared:
    client: AsyncClient
    users: int = 0


_clients: dict[tuple[int, Settings], _Shared] = {}


@asynccontextmanager
async def shared_client(settings: Settings) -> AsyncIterator[AsyncClient]:
    """Give the client of this event loop for these settings; the last user closes it.

    A thousand triggers so hold one connection pool, and a changed key gets a client of its own.
    """
    key = (id(asyncio.get_running_loop()), settings)
    if key not in _clients:
        await asyncio.to_thread(warm_up, settings)
    if key not in _clients:
        _clients[key] = _Shared(
            AsyncClient(settings, buckets=buckets_for(settings), schedules=schedules_for(settings))
        )
    shared = _clients[key]
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if shared.users == 0:
            del _clients[key]
            await shared.client.aclose()
