"""One process that waits for jobs with triggers of one kind, as a triggerer does, and measures itself.

Run as ``python -m benchmarks.waiting_process`` with its :class:`Order` as JSON; prints the
:class:`Measured` as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.loop_watch import Watch, resident_kib
from benchmarks.waiters import WAITERS, Waiter, succeeded


@dataclass(frozen=True)
class Order:
    """What to wait for.

    :param waiter: one of :data:`~benchmarks.waiters.WAITERS`.
    :param url: the URL of the job service.
    :param count: number of waits at the same time.
    :param interval: seconds between two looks.
    :param limit: the account's queries per second, 0 for no limit.
    :param warm_up: number of jobs that the same process waits for first.
    """

    waiter: str
    url: str
    count: int
    interval: float
    limit: float
    warm_up: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """The measurements; times in seconds, lateness for each job that was not lost."""

    polls: int
    limited: int
    lost: int
    late_events: list[float]
    late_looks: list[float]
    cpu: float
    kib: float
    stall: float


def measure(order: Order) -> Measured:
    """Wait for all jobs and return the measurements."""
    waiter = WAITERS[order.waiter](order.url, order.interval, order.limit)
    waiter(0)  # loads what it needs
    return asyncio.run(_measure(order, waiter))


async def _measure(order: Order, waiter: Waiter) -> Measured:
    if order.warm_up:
        await _wait_for_all(waiter, _started(order.url, order.warm_up, order.seed + 1))
    gc.collect()
    gc.freeze()  # the triggers must not be charged for collecting what the import of Airflow left
    watch = Watch()
    watching = asyncio.create_task(watch.run())
    memory = resident_kib()
    numbers = _started(order.url, order.count, order.seed)
    cpu = time.process_time()
    events = await _wait_for_all(waiter, numbers)
    cpu = time.process_time() - cpu
    await asyncio.sleep(0.05)  # lets the watch see the end
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    ledger = _call(f"{order.url}/_ledger")
    ends = list(zip(events, ledger["finished"], ledger["told"], strict=True))
    return Measured(
        polls=ledger["polls"],
        limited=ledger["limited"],
        lost=events.count(None),
        late_events=[event - finished for event, finished, _ in ends if event is not None],
        late_looks=[told - finished for event, finished, told in ends if event and told],
        cpu=cpu,
        kib=(watch.peak_kib - memory) / order.count,
        stall=watch.stall,
    )


async def _wait_for_all(waiter: Waiter, numbers: list[int]) -> list[float | None]:
    """Return the time of each wait's event (Unix seconds), None for those that failed."""

    async def fired(number: int) -> float | None:
        try:
            async for event in waiter(number).run():
                return time.time() if succeeded(event.payload) else None
        except Exception:  # noqa: BLE001 - a trigger that dies has lost its job
            return None
        return None

    return await asyncio.gather(*(fired(number) for number in numbers))


def _started(url: str, count: int, seed: int) -> list[int]:
    numbers: list[int] = _call(f"{url}/_jobs", {"count": count, "seed": seed})["numbers"]
    return numbers


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Order(**json.loads(sys.argv[1]))))))
