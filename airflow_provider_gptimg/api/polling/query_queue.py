"""The queue in which an event loop's status queries wait for the account's rate limit."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from airflow_provider_gptimg.api.polling.rate_limit import Bucket

RANKED_FOR = 0.25
"""Seconds for which a long queue keeps its ranking."""

SHORT = 16
"""Up to this length, the queue is ranked again for every turn."""

MOST_RANKED = 256


class Turnstile:
    """Gives turns to calls as the account's limit and free connections allow, and queues the others.

    If there is a queue, the next turn goes to the call that is worth most at that moment, not to the one
    that came first.

    :param bucket: the limit, which others in the process may share.
    :param places: most calls at the same time.
    :param later: calls back after a number of seconds; the event loop's ``call_later`` by default.
    """

    def __init__(
        self, bucket: Bucket, places: int, later: Callable[[float, Callable[[], None]], object] | None = None
    ) -> None:
        self._bucket = bucket
        self._free = places
        self._later = later
        self._queue: dict[asyncio.Future[None], Callable[[], float]] = {}
        self._ranked: list[asyncio.Future[None]] = []
        self._alarm = False

    async def enter(self, worth: Callable[[], float]) -> None:
        """Return when it is this call's turn; the caller must :meth:`leave` afterwards.

        :param worth: returns how much the call is worth now, to be compared with others.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = worth
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if self._queue.pop(turn, None) is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Free the place for the next call."""
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._free > 0 and not self._alarm:
            seconds = self._bucket.take()
            if seconds > 0:
                self._alarm = True
                (self._later or asyncio.get_running_loop().call_later)(seconds, self._wake)
                return
            turn = self._best()
            del self._queue[turn]
            self._free -= 1
            if not turn.cancelled():  # a cancelled task leaves when it notices
                turn.set_result(None)

    def _wake(self) -> None:
        self._alarm = False
        self._admit()

    def _best(self) -> asyncio.Future[None]:
        if len(self._queue) <= SHORT:
            self._ranked.clear()
            return max(self._queue, key=lambda turn: self._queue[turn]())
        while self._ranked:
            turn = self._ranked.pop()
            if turn in self._queue:
                return turn
        worths = {turn: worth() for turn, worth in self._queue.items()}
        most = min(MOST_RANKED, max(1, int(self._bucket.rate * RANKED_FOR)))
        self._ranked = heapq.nlargest(most, worths, key=worths.__getitem__)[::-1]
        return self._ranked.pop()
