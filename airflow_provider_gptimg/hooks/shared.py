"""What a process shares for each account: one limiter, learned times, and one client per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airflow_provider_gptimg.api.client import AsyncClient, warm_up
from airflow_provider_gptimg.api.polling.rate_limit import Buckets
from airflow_provider_gptimg.api.polling.schedule import Schedules
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.compat.shared_calls import SharedCalls
from airflow_provider_gptimg.hooks.metrics import replied


@lru_cache(maxsize=64)
def buckets_for(settings: Settings) -> Buckets:
    """Return the process's limiter for an account. Equal settings get the same limiter."""
    return Buckets(settings.limits, on_reply=replied)


@lru_cache(maxsize=64)
def schedules_for(settings: Settings) -> Schedules:
    """Return the times that the process learned for an account's generations. They outlive the client."""
    return Schedules()


READ_AGAIN_AFTER = 30.0
"""Seconds for which other waits reuse a connection that was read. One process supervises all triggers, and
each reading goes through it. A thousand readings at once would keep it busy for a minute."""

_readings = SharedCalls[Settings]()


async def settings_of(conn_id: str, read: Callable[[], Coroutine[Any, Any, Settings]]) -> Settings:
    """Return a connection's settings. Callers within some seconds share one reading.

    :param read: reads the connection. If it raises, all callers that wait get the exception, and the next
        caller reads again.
    """
    return await _readings.answer(conn_id, read, READ_AGAIN_AFTER)


@dataclass
class _Shared:
    client: AsyncClient
    users: int = 0


_clients: dict[tuple[int, Settings], _Shared] = {}


@asynccontextmanager
async def shared_client(settings: Settings) -> AsyncIterator[AsyncClient]:
    """Return this event loop's client for these settings. The last user closes it.

    So a thousand triggers share one connection pool, and a changed key gets a new client.
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
