"""Whether a batch's worker has anything to do but wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Counts what is being worked on, and remembers when something last came of it."""

    def __init__(self) -> None:
        self._busy = 0
        self._moved = time.monotonic()

    def moved(self) -> None:
        """Note that something came of the work."""
        self._moved = time.monotonic()

    def is_idle_for(self, seconds: float) -> bool:
        """Return whether nothing is being worked on, and nothing came of it for so many seconds."""
        return self._busy == 0 and time.monotonic() - self._moved >= seconds

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the worker: what is done in here is not only waiting."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait in the middle of work, for something that the worker is not needed for."""
        self._busy -= 1
        try:
            yield
        finally:
            self._busy += 1
