"""The queue before the limit of status queries: who comes first, and that nobody waits without need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from airflow_provider_gptimg.api.polling.query_queue import SHORT, Turnstile
from airflow_provider_gptimg.api.polling.rate_limit import Bucket
from tests.support.driving import Clock


class Gate:
    """A turnstile in virtual time; an alarm goes off when :meth:`pass_time` reaches it."""

    def __init__(self, rate: float, places: int = 1_000) -> None:
        self.clock = Clock(1_000.0)
        self.bucket = Bucket(rate, self.clock)
        self.alarms: list[tuple[float, Callable[[], None]]] = []
        self.turnstile = Turnstile(self.bucket, places, self.later)
        self.entered: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.alarms.append((self.clock.now + seconds, call))

    async def come(self, name: str, worth: float | Callable[[], float] = 0.0) -> None:
        async def enter() -> None:
            await self.turnstile.enter(worth if callable(worth) else lambda: worth)
            self.entered.append(name)

        self.tasks[name] = asyncio.create_task(enter())
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.alarms and self.alarms[0][0] <= until:
            self.clock.now, call = self.alarms.pop(0)
            call()
            await self.settled()
        self.clock.now = until


async def test_while_the_limit_is_not_reached_nobody_waits() -> None:
    gate = Gate(rate=50.0)
    for number in range(400):
        await gate.come(str(number))
    assert gate.entered == [str(number) for number in range(400)]
    assert not gate.alarms


async def crowded(rate: float = 2.0) -> Gate:
    """Return a gate whose bucket is empty."""
    gate = Gate(rate)
    while gate.bucket.take() == 0:
        pass
    return gate


async def test_when_it_is_the_call_that_is_worth_most_goes_first() -> None:
    gate = await crowded()
    for name, worth in (("low", 0.1), ("high", 0.9), ("middle", 0.5)):
        await gate.come(name, worth)
    assert gate.entered == []
    await gate.pass_time(0.6)
    assert gate.entered == ["high"]
    await gate.come("highest", 2.0)
    await gate.pass_time(5.0)
    assert gate.entered == ["high", "highest", "middle", "low"]


async def test_worth_is_asked_for_when_the_turn_has_come() -> None:
    gate, started = await crowded(), 1_000.0
    await gate.come("steady", 1.0)
    await gate.come("rising", lambda: gate.clock.now - started + 0.9)
    await gate.pass_time(0.6)
    assert gate.entered == ["rising"]


async def test_a_long_queue_is_served_by_worth_too_at_exactly_the_rate() -> None:
    gate = await crowded(rate=50.0)
    crowd = SHORT * 10
    for number in range(crowd):
        await gate.come(str(number), float(number))
    await gate.pass_time(1.01)
    assert 48 <= len(gate.entered) <= 51
    await gate.pass_time(60.0)
    assert gate.entered == [str(number) for number in reversed(range(crowd))]


async def test_a_pause_holds_back_everyone() -> None:
    gate = Gate(rate=50.0)
    gate.bucket.pause(7.0)
    for name in "abc":
        await gate.come(name)
    await gate.pass_time(6.9)
    assert gate.entered == []
    await gate.pass_time(1.0)
    assert len(gate.entered) == 3


async def test_a_pause_that_begins_while_calls_wait_holds_them_back_as_well() -> None:
    gate = await crowded()
    await gate.come("a")
    gate.bucket.pause(7.0)
    await gate.pass_time(6.9)
    assert gate.entered == []
    await gate.pass_time(1.0)
    assert gate.entered == ["a"]


async def test_calls_under_way_are_limited_and_a_free_place_goes_to_the_best() -> None:
    gate = Gate(rate=1_000.0, places=2)
    for name, worth in (("a", 0.0), ("b", 0.0), ("low", 1.0), ("high", 2.0)):
        await gate.come(name, worth)
    assert gate.entered == ["a", "b"]
    gate.turnstile.leave()
    await gate.settled()
    assert gate.entered == ["a", "b", "high"]


async def test_whoever_is_cancelled_takes_no_place() -> None:
    gate = Gate(rate=1_000.0, places=1)
    for name in ("a", "cancelled", "c", "granted"):
        await gate.come(name)
    gate.tasks["cancelled"].cancel()
    await gate.settled()
    gate.turnstile.leave()
    await gate.settled()
    assert gate.entered == ["a", "c"]
    gate.turnstile.leave()  # the turn is granted to the last one, which is cancelled before it notices
    gate.tasks["granted"].cancel()
    await gate.settled()
    await gate.come("next")
    assert gate.entered == ["a", "c", "next"]


async def test_five_thousand_waits_cost_little() -> None:
    gate = await crowded(rate=50.0)
    for number in range(5_000):
        gate.tasks[str(number)] = asyncio.create_task(gate.turnstile.enter(lambda worth=number: worth))  # type: ignore[misc]
    await gate.settled()
    began = time.process_time()
    await gate.pass_time(20.0)
    taken = time.process_time() - began
    assert sum(task.done() for task in gate.tasks.values()) >= 990
    assert taken < 4.0, "a fifth of a core at most"
    for task in gate.tasks.values():
        task.cancel()


async def test_one_that_gives_up_just_when_a_place_is_freed_keeps_no_place() -> None:
    gate = Gate(rate=1_000.0, places=1)
    await gate.come("first")
    await gate.come("gives up", worth=2.0)
    await gate.come("last", worth=1.0)
    gate.tasks["gives up"].cancel()  # its task has not run yet
    gate.turnstile.leave()
    await gate.settled()
    assert gate.entered == ["first", "last"]
    gate.turnstile.leave()
    await gate.come("later")
    assert gate.entered == ["first", "last", "later"]
