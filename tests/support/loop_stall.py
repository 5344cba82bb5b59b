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

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger
from benchmarks.loop_watch import Watch


async def fired(trigger: GptImgGenerationTrigger) -> str:
    async for event in trigger.run():
        return str(event.payload["status"])
    raise AssertionError("the trigger ended without an event")


async def measure(generation_ids: list[str]) -> dict[str, object]:
    gc.collect()
    gc.freeze()  # collecting what importing Airflow left behind is no doing of the triggers
    watch = Watch()
    watching = asyncio.create_task(watch.run())
    deadline = time.time() + 60
    statuses = await asyncio.gather(
        *(
            fired(GptImgGenerationTrigger(generation_id=name, poll_interval=0.5, deadline=deadline))
            for name in generation_ids
        )
    )
    await asyncio.sleep(0.05)  # lets the watch see the end
    watching.cancel()
    return {"stall": watch.stall, "statuses": sorted(set(statuses))}


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
