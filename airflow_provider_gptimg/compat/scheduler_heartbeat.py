"""The scheduler's heartbeat, as far as a triggerer can see it. It shows that the loop went round again.

A scheduler writes a heartbeat at the end of its loop, after it has handled what its executor reported.
The API server shows it to anyone at ``/api/v2/monitor/health``.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import suppress
from functools import partial

from airflow.configuration import conf

from airflow_provider_gptimg.compat.shared_calls import SharedCalls

LOOK_EVERY = 1.0
"""Seconds between two looks. All triggers of a process share them."""

TIMEOUT = 5.0
MAX_BYTES = 65_536

_looks = SharedCalls["str | None"]()


async def next_beat() -> bool:
    """Return True after the scheduler's next heartbeat; False as soon as no heartbeat can be seen."""
    first = await _last_beat()
    latest = first
    while latest is not None and latest == first:
        await asyncio.sleep(LOOK_EVERY)
        latest = await _last_beat()
    return latest is not None


async def beat_within(seconds: float) -> str | None:
    """Return the time of the scheduler's latest heartbeat; None if there is no answer in time."""
    with suppress(TimeoutError, asyncio.TimeoutError):
        return await asyncio.wait_for(_last_beat(), seconds)
    return None


async def _last_beat() -> str | None:
    return await _looks.answer("heartbeat", partial(asyncio.to_thread, _ask), LOOK_EVERY)


def _ask() -> str | None:
    """Return the time of the scheduler's latest heartbeat as text, None if it cannot be read."""
    with suppress(Exception):
        # Sends no credentials, and the address is Airflow's own setting.
        with urllib.request.urlopen(_address(), timeout=TIMEOUT) as answer:  # noqa: S310
            health = json.loads(answer.read(MAX_BYTES))
        return str(health["scheduler"]["latest_scheduler_heartbeat"] or "") or None
    return None


def _address() -> str:
    execution_api = conf.get("core", "execution_api_server_url", fallback="") or ""
    if execution_api.rstrip("/").endswith("/execution"):
        base_url = execution_api.rstrip("/").removesuffix("/execution")
    else:
        base_url = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    return f"{base_url.rstrip('/')}/api/v2/monitor/health"
