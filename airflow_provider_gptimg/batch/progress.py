"""The progress of a batch: one line every few seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY = 5.0
"""Seconds between two lines."""

_WINDOW = 60.0
"""Seconds over which the rate is measured."""


@dataclass
class Progress:
    """Counts of a batch's items.

    :param completed: items whose images are stored.
    :param in_flight: items submitted, and neither completed nor failed.
    :param kept: items that were completed before the latest Clear, and stay as they are.
    :param owned: items whose images are in the cache, or will come from another item.
    :param dropped: items that were completed before, and are no longer among the items.
    """

    total: int
    completed: int = 0
    failed: int = 0
    in_flight: int = 0
    kept: int = 0
    owned: int = 0
    dropped: int = 0
    clock: Callable[[], float] = time.monotonic
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def over(self) -> int:
        """Items that are completed or have failed."""
        return self.completed + self.failed

    def begin(self) -> None:
        """Measure the rate from now on, because earlier attempts finished the items that are over by now."""
        self._seen.append((self.clock(), self.over))

    def overview(self) -> str | None:
        """Return a line on what an attempt takes over from earlier ones, None if that is nothing."""
        if not self.over and not self.dropped and not self.owned:
            return None
        to_make = self.total - self.completed - self.failed - self.owned
        owned = f"in the cache: {self.owned}, " if self.owned else ""
        dropped = f"; made before and no longer needed: {self.dropped}" if self.dropped else ""
        return (
            f"Of {self.total} items, {self.completed} are already stored ({self.kept} of them from before "
            f"the Clear), {self.failed} have failed for good, {owned}to be made: {to_make}{dropped}."
        )

    def line(self) -> str:
        """Return the current line: counts, items per second in the last minute, and the time left."""
        now = self.clock()
        self._seen.append((now, self.over))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()
        (since, before), (_, after) = self._seen[0], self._seen[-1]
        rate = (after - before) / (now - since) if now > since else 0.0
        counts = (
            f"{self.completed} done / {self.in_flight} in flight / {self.failed} failed / {self.total} total"
        )
        if after >= self.total:
            return counts
        left = f"about {_duration((self.total - after) / rate)} left" if rate > 0 else "no estimate yet"
        return f"{counts}; {rate:.1f} a second, {left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
