"""Rate limits: the calls that an account may make, and the bucket that keeps a process within them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_gptimg.api.wire import Category, Reply, retry_after

SUBMITS_PER_SECOND: Mapping[str, float] = {"default": 300 / 60, "vip": 1_000 / 60, "svip": 2_000 / 60}
QUERIES_PER_SECOND: Mapping[str, float] = {"default": 3_000 / 60, "vip": 10_000 / 60, "svip": 30_000 / 60}
"""Calls per second, by group (contract: Rate limits)."""

BURST_SECONDS = 10.0
"""The service's buckets hold ten seconds' worth of calls (contract: Rate limits)."""

MARGIN = 0.9
"""Share of a full bucket that we use: calls arrive less evenly than they were sent."""


MAX_PAUSE = 300.0
"""Longest pause in seconds that one 429 may impose on all other calls of a process."""


@dataclass(frozen=True)
class Limits:
    """Calls per second that the account may make."""

    submits: float = SUBMITS_PER_SECOND["default"]
    queries: float = QUERIES_PER_SECOND["default"]


class Bucket:
    """A token bucket that books ahead: each call learns how long it must wait for its turn.

    Booked turns are spaced evenly, so calls that were held up go out at the allowed rate and not all at
    once. The bucket itself never waits, so threads and event loops can share it.

    :param rate: calls per second.
    :param clock: returns monotonic seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._interval = 1.0 / rate
        self._tolerance = max(0.0, rate * BURST_SECONDS * MARGIN - 1.0) * self._interval
        self._clock = clock
        self._lock = threading.Lock()
        # The moment at which the bucket will be full again (generic cell rate algorithm).
        self._full_at = clock()
        self._closed_until = clock()

    def turns(self) -> Iterator[float]:
        """Yield the seconds to sleep until this call's turn. Yield nothing if its turn is now."""
        while True:
            seconds = self._book()
            if seconds > 0:
                yield seconds
            if self._clock() >= self._closed_until:
                return
            # It was paused while we slept, so the turn is void. A new one is booked after the pause.

    def take(self) -> float:
        """Take a turn and return 0, or return the seconds until there may be one."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._full_at - self._tolerance)
            if turn == now:
                self._full_at = max(self._full_at, now) + self._interval
            return turn - now

    def pause(self, seconds: float) -> None:
        """Let no call through for these seconds, and then go on at the allowed rate without a burst."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)
            self._full_at = max(self._full_at, self._closed_until + self._tolerance)

    def _book(self) -> float:
        with self._lock:
            now = self._clock()
            turn = max(now, self._full_at - self._tolerance)
            self._full_at = max(self._full_at, turn) + self._interval
            return turn - now


class Buckets:
    """The rate limits of one account within one process (contract: Rate limits).

    :param on_reply: called for every reply with the category of the request and the HTTP status.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        on_reply: Callable[[Category, int], None] = lambda category, status: None,
    ) -> None:
        self._on_reply = on_reply
        self._buckets: dict[Category, Bucket] = {
            "submit": Bucket(limits.submits, clock),
            "query": Bucket(limits.queries, clock),
        }

    @property
    def queries(self) -> Bucket:
        """The limit of status queries."""
        return self._buckets["query"]

    def turns(self, category: Category) -> Iterable[float]:
        """Return the sleeps, in seconds, until a call's turn has come."""
        bucket = self._buckets.get(category)
        return bucket.turns() if bucket else ()

    def heed(self, category: Category, reply: Reply) -> None:
        """After a 429, hold back calls of this category for as long as the service asks."""
        self._on_reply(category, reply.status)
        bucket = self._buckets.get(category)
        if reply.status == 429 and bucket:
            wanted = retry_after(reply.headers.get("retry-after"), time.time())
            bucket.pause(min(1.0 if wanted is None else wanted, MAX_PAUSE))
