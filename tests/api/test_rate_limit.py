"""The limiter: never above the allowed rate in any window, whoever asks, and however often it is paused."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_gptimg.api.polling.rate_limit import QUERIES_PER_SECOND, SUBMITS_PER_SECOND, Bucket
from tests.support.driving import Clock

# Contract: Rate limits; per minute, and the burst of ten seconds.
GROUPS = [("default", 300, 3_000), ("vip", 1_000, 10_000), ("svip", 2_000, 30_000)]
BURST_SECONDS = 10.0


@pytest.mark.parametrize(("group", "submits", "queries"), GROUPS)
def test_the_rates_are_those_of_the_groups(group: str, submits: int, queries: int) -> None:
    assert SUBMITS_PER_SECOND[group] == pytest.approx(submits / 60)
    assert QUERIES_PER_SECOND[group] == pytest.approx(queries / 60)


class Crowd:
    """Calls that arrive at given times and go through a bucket, in virtual time."""

    def __init__(self, rate: float) -> None:
        self.clock = Clock(1_000.0)
        self.bucket = Bucket(rate, self.clock)
        self.left: list[float] = []
        self._events: list[tuple[float, int, object]] = []

    def at(self, seconds: float, what: Iterator[float] | float) -> None:
        """Let a call arrive (its turns), or pause the bucket for so many seconds."""
        heapq.heappush(self._events, (1_000.0 + seconds, len(self._events) + len(self.left), what))

    def calls(self, *arrivals: float) -> None:
        for seconds in arrivals:
            self.at(seconds, self.bucket.turns())

    def run(self) -> list[float]:
        """Return when the calls went out, in seconds since the start."""
        count = 10**6
        while self._events:
            now, _, what = heapq.heappop(self._events)
            self.clock.now = now
            if isinstance(what, float):
                self.bucket.pause(what)
                continue
            sleep = next(what, None)  # type: ignore[call-overload]
            if sleep is None:
                self.left.append(now - 1_000.0)
            else:
                assert sleep > 0
                count += 1
                heapq.heappush(self._events, (now + sleep, count, what))
        return sorted(self.left)


def most_above(left: list[float], rate: float) -> float:
    """Return by how many calls the busiest window exceeds what its length allows."""
    return max(j - i + 1 - rate * (left[j] - left[i]) for i in range(len(left)) for j in range(i, len(left)))


@pytest.mark.parametrize("rate", [5.0, 50.0, 1000 / 60])
def test_a_crowd_leaves_as_one_burst_and_then_at_the_rate(rate: float) -> None:
    crowd, burst = Crowd(rate), int(rate * BURST_SECONDS)
    crowd.calls(*[0.0] * (burst * 3))
    left = crowd.run()
    at_once = left.count(0.0)
    assert 0.8 * burst <= at_once <= burst
    assert left[-1] == pytest.approx((burst * 3 - at_once) / rate, rel=0.02)


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.1, 0.5])
def test_a_slow_rate_still_lets_calls_through_one_by_one(rate: float) -> None:
    crowd = Crowd(rate)
    crowd.calls(*[0.0] * 20)
    left = crowd.run()
    assert left[0] == 0.0
    assert most_above(left, rate) <= max(1.0, rate * BURST_SECONDS) + 1e-6


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([1.0, 5.0, 16.7]),
    st.lists(st.floats(0, 60), min_size=1, max_size=120),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 30)), max_size=4),
)
def test_no_window_ever_exceeds_rate_and_burst(
    rate: float, arrivals: list[float], pauses: list[tuple[float, float]]
) -> None:
    crowd = Crowd(rate)
    crowd.calls(*arrivals)
    for at, seconds in pauses:
        crowd.at(at, seconds)
    left = crowd.run()
    assert len(left) == len(arrivals)
    assert most_above(left, rate) <= rate * BURST_SECONDS + 1e-6
    for at, seconds in pauses:
        assert not [gone for gone in left if at + 1e-6 < gone < at + seconds - 1e-6], (
            "nobody leaves in a pause"
        )


def test_a_pause_holds_also_those_who_had_booked_and_lets_them_out_evenly() -> None:
    crowd = Crowd(5.0)
    crowd.calls(*[0.0] * 90)
    crowd.at(1.1, 20.0)
    left = crowd.run()
    held = [gone for gone in left if gone > 1.1]
    assert held[0] == pytest.approx(21.1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(held)]
    assert min(gaps) >= 0.2 - 1e-6, "no burst after a pause"
    assert held[-1] <= 21.1 + 2 * len(held) / 5.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    crowd = Crowd(5.0)
    crowd.at(0.0, 30.0)
    crowd.at(1.0, 2.0)
    crowd.calls(5.0)
    assert crowd.run() == [pytest.approx(30.0)]


def test_threads_share_one_bucket() -> None:
    bucket, rate, lock, left = Bucket(100.0, time.monotonic), 100.0, threading.Lock(), list[float]()
    for _ in range(int(rate * BURST_SECONDS)):
        next(bucket.turns(), None)  # uses up the burst

    def worker() -> None:
        for _ in range(10):
            for seconds in bucket.turns():
                time.sleep(min(seconds, 5.0))
            with lock:
                left.append(time.monotonic())

    threads = [threading.Thread(target=worker) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left) == 80
    assert max(left) - began >= 80 / rate * 0.9, "80 calls at 100 a second"


@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_turns_that_are_taken_and_turns_that_are_booked_share_the_rate(rate: float) -> None:
    clock = Clock(1_000.0)
    bucket, left = Bucket(rate, clock), list[float]()
    while clock.now < 1_030.0:
        wait = bucket.take()
        if wait > 0:
            assert bucket.take() == wait, "asking takes nothing"
            left.append(clock.now + next(bucket.turns()))  # another thread books this very turn
            clock.now += wait
        else:
            left.append(clock.now)
    assert len(left) == pytest.approx(rate * (30 + BURST_SECONDS), rel=0.1)
    assert most_above(sorted(left), rate) <= rate * BURST_SECONDS + 1e-6


def test_no_turn_is_taken_in_a_pause() -> None:
    clock = Clock(1_000.0)
    bucket = Bucket(5.0, clock)
    bucket.pause(7.0)
    assert bucket.take() == pytest.approx(7.0)
    clock.now += 7.0
    assert bucket.take() == 0.0
    assert bucket.take() == pytest.approx(0.2), "no burst after a pause"
