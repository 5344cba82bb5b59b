"""The emulator's time."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_ADVANCE = 10 * 365 * 86_400.0
"""The furthest one call may move the clock, in seconds: ten years, so that dates stay printable."""


class Clock:
    """Unix time in seconds, with an offset that tests can move forward.

    Nothing else in the emulator asks the system for the time. So a test can expire a result or refill a rate
    limit without waiting.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0

    def now(self) -> float:
        """Return the emulator's time in Unix seconds."""
        return self._source() + self._offset

    def advance(self, seconds: float) -> float:
        """Move forward by ``seconds`` (0 to :data:`MAX_ADVANCE`) and return the new time."""
        if not 0 <= seconds <= MAX_ADVANCE:
            raise ValueError(f"the clock can advance by 0 to {MAX_ADVANCE:.0f} seconds, not {seconds}")
        self._offset += seconds
        return self.now()

    @property
    def offset(self) -> float:
        """Seconds ahead of the real time."""
        return self._offset

    def restore(self, offset: float) -> None:
        """Set the clock to ``offset`` seconds ahead of the real time."""
        self._offset = offset

    def reset(self) -> None:
        """Return to the real time."""
        self._offset = 0.0
