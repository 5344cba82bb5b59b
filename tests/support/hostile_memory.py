"""How much memory and time each flood costs: a process of its own, as a peak never goes down again.

Prints ``{name: [seconds, MiB]}``.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import time
from pathlib import Path

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import AsyncClient, SyncClient
from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.settings import Settings
from tests.support import hostilities
from tests.support.raw_service import raw_service

TIMEOUT = 0.3


def peak() -> float:
    """Return the most memory this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would start from what the parent of this process held
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def asking() -> flows.Flow[object]:
    return flows.query("task_1", clock=time.time, give_up_at=time.time())


def ask(settings: Settings) -> None:
    with SyncClient(settings) as client:
        client.run(asking())


async def ask_in_loop(settings: Settings) -> None:
    client = AsyncClient(settings)
    try:
        await client.run(asking())
    finally:
        await client.aclose()


def measure(name: str) -> tuple[float, float]:
    with raw_service(hostilities.FLOODS[name]) as service:
        settings = Settings.checked(host=service.url, api_key="sk-test", extra={"timeout": TIMEOUT})
        started, held = time.monotonic(), peak()
        for way in (lambda: ask(settings), lambda: asyncio.run(ask_in_loop(settings))):
            try:
                way()
            except ApiError:
                continue
            raise SystemExit(f"{name}: no error")
        return time.monotonic() - started, peak() - held


if __name__ == "__main__":
    hostilities.bomb()
    # What the first calls load is not what a flood costs.
    hostilities.FLOODS[""] = hostilities.ODDITIES["it hangs up"]
    measure("")
    print(json.dumps({name: measure(name) for name in hostilities.FLOODS}))
