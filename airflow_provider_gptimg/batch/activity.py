"""Tells whether a batch's worker only waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Counts the work in progress, and remembers when the batch last made progress."""

    def __init__(self) -> None:
        self._busy = 0
        self._moved = time.monotonic()

    def moved(self) -> None:
        """Note that the batch made progress."""
        self._moved = time.monotonic()

    def is_idle_for(self, seconds: float) -> bool:
        """Return whether there was no work and no progress for this number of seconds."""
        return self._busy == 0 and time.monotonic() - self._moved >= seconds

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the worker: the code in this block does more than wait."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait in the middle of work for something that does not need the worker."""
        self._busy -= 1
        try:
            yield
        finally:
            self._busy += 1
