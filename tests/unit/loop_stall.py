"""How long triggers block their event loop, measured in a process of its own.

Run as ``python loop_stall.py BASE_URL COUNT``: waits for COUNT generations of the emulator at BASE_URL at
once, whose status answers take 200 ms, and prints as JSON the longest stall of the loop in seconds. The
time for which the machine gave it no core, being busy with others, is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger


async def fired(trigger: GptImgGenerationTrigger) -> str:
    async for event in trigger.run():
        return str(event.payload["status"])
    raise AssertionError("the trigger ended without an event")


def coreless() -> float:
    """Return the seconds for which this thread has waited for a core so far; 0 where nobody says."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


async def longest_stall(until: asyncio.Event) -> float:
    """Return the longest time in seconds by which the loop was late, until the event is set."""
    stall = 0.0
    while not until.is_set():
        before = time.monotonic() - coreless()
        await asyncio.sleep(0.005)
        stall = max(stall, time.monotonic() - coreless() - before - 0.005)
    return stall


async def measure(generation_ids: list[str]) -> dict[str, object]:
    gc.collect()
    gc.freeze()  # collecting what importing Airflow left behind is no doing of the triggers
    done = asyncio.Event()
    watchdog = asyncio.create_task(longest_stall(done))
    deadline = time.time() + 60
    statuses = await asyncio.gather(
        *(
            fired(GptImgGenerationTrigger(generation_id=name, poll_interval=0.5, deadline=deadline))
            for name in generation_ids
        )
    )
    done.set()
    return {"stall": await watchdog, "statuses": sorted(set(statuses))}


def main(base_url: str, count: int) -> None:
    extra = {"submit_rps": 1000, "query_rps": 1000}
    connection = {"conn_type": "gptimg", "host": base_url, "password": "sk-test", "extra": extra}
    os.environ["AIRFLOW_CONN_GPTIMG_DEFAULT"] = json.dumps(connection)
    hook = GptImgHook()
    with ThreadPoolExecutor(8) as threads:
        submitted = list(threads.map(hook.submit, [f"picture {i}" for i in range(count)]))
    Remote(base_url).faults([{"on": "status", "kind": "delay", "seconds": 0.2}])
    print(json.dumps(asyncio.run(measure([generation.id for generation in submitted]))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
