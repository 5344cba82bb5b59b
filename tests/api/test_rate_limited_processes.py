"""Many processes under one account's rate limit: in virtual time, and small against a real emulator."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.flows import Send, Sleep
from airflow_provider_gptimg.api.polling.rate_limit import Buckets
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.wire import Reply, Request
from airflow_provider_gptimg.emulator import limits
from benchmarks import rate_limit
from tests.support.driving import START, Clock, fault, reply

LATENCY = 0.03
SETTINGS = Settings.checked(host="http://127.0.0.1:1", api_key="sk-x", extra={})
SUBMISSION = Request("POST", "/v1/images/generations", b"{}", category="submit")


class Service:
    """The service's limiter, in virtual time."""

    def __init__(self, clock: Clock) -> None:
        self.refused = 0
        self._clock = clock
        rate = limits.GROUPS["default"][limits.SUBMIT]
        self._bucket = limits.Bucket(rate, limits.SUBMIT, self)  # type: ignore[arg-type]

    def now(self) -> float:
        return self._clock()

    def answer(self) -> Reply:
        decision = self._bucket.take()
        if decision.allowed:
            return reply({})
        self.refused += 1
        return fault("rate_limit_exceeded", 429, retry_after=decision.headers["Retry-After"])


def caller(service: Service, clock: Clock, calls: int, buckets: Callable[[], Buckets]) -> Iterator[float]:
    """Make calls as a client drives them; yields what it sleeps."""
    for _ in range(calls):
        mine = buckets()
        flow = flows.call(SUBMISSION, clock=clock, give_up_at=START + 3600)
        step, answer = next(flow), None
        while step:
            if isinstance(step, Sleep):
                yield step.seconds
                answer = None
            elif isinstance(step, Send):
                yield from mine.turns("submit")
                yield LATENCY
                answer = service.answer()
                mine.heed("submit", answer)
            try:
                step = flow.send(answer)
            except StopIteration:
                break


def played(callers: Callable[[Service, Clock], list[Iterator[float]]], seed: int) -> tuple[float, int]:
    """Let all callers go and return how many seconds it took and how many calls were refused."""
    random.seed(seed)
    clock, number = Clock(), itertools.count()
    service = Service(clock)
    waiting = [(clock.now, next(number), one) for one in callers(service, clock)]
    heapq.heapify(waiting)
    while waiting:
        clock.now, _, one = heapq.heappop(waiting)
        for seconds in itertools.islice(one, 1):
            heapq.heappush(waiting, (clock.now + seconds, next(number), one))
    return clock.now - START, service.refused


IDEAL = (300 - 50) / 5
CROWDS = [(20, 15), (50, 6), (300, 1), (6, 50)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("processes", "calls"), CROWDS)
def test_processes_that_share_nothing_use_up_what_the_limit_allows(
    processes: int, calls: int, seed: int
) -> None:
    def callers(service: Service, clock: Clock) -> list[Iterator[float]]:
        buckets = [Buckets(SETTINGS.limits, clock) for _ in range(processes)]
        return [caller(service, clock, calls, lambda own=own: own) for own in buckets]  # type: ignore[misc]

    seconds, refused = played(callers, seed)
    assert 0.95 * IDEAL <= seconds <= 1.25 * IDEAL
    assert refused < 6 * 300


@pytest.mark.parametrize("seed", range(3))
def test_so_do_tasks_which_are_a_new_process_each(seed: int) -> None:
    def callers(service: Service, clock: Clock) -> list[Iterator[float]]:
        return [caller(service, clock, 15, lambda: Buckets(SETTINGS.limits, clock)) for _ in range(20)]

    seconds, _ = played(callers, seed)
    assert seconds <= 1.25 * IDEAL


@pytest.mark.parametrize("threads", [1, 300])
def test_a_process_alone_never_meets_the_limit(threads: int) -> None:
    def callers(service: Service, clock: Clock) -> list[Iterator[float]]:
        own = Buckets(SETTINGS.limits, clock)
        return [caller(service, clock, 300 // threads, lambda: own) for _ in range(threads)]

    seconds, refused = played(callers, 0)
    assert refused == 0
    assert seconds <= 1.05 * IDEAL


def test_four_real_processes_at_a_real_emulator(tmp_path: Path) -> None:
    row = rate_limit.measure(
        "svip",
        "submit",
        tmp_path / "emulator.log",
        "four",
        rate_limit.in_a_few_threads,
        processes=4,
        calls=480,
    )
    assert row[3:5] == (480, 480), "all succeed, and none is paid twice"


@pytest.mark.parametrize(("what", "calls"), [("submit", 400), ("query", 600)])
def test_one_real_process_is_never_told_429(tmp_path: Path, what: str, calls: int) -> None:
    group = "svip" if what == "submit" else "default"
    row = rate_limit.measure(
        group, what, tmp_path / "emulator.log", "one", rate_limit.in_a_few_threads, processes=1, calls=calls
    )
    assert (row[3], row[5]) == (calls, 0)
