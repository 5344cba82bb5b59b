"""Watches an event loop: how long it was blocked, and how much memory its process took."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TICK = 0.02
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass
class Watch:
    """The observations so far.

    :param stall: longest delay of the loop in seconds. Time in which the machine was too busy to give it a
        core is not counted.
    :param peak_kib: peak memory of the process.
    """

    stall: float = 0.0
    peak_kib: float = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        ticks = 0
        while True:
            if ticks % 12 == 0:
                self.peak_kib = max(self.peak_kib, resident_kib())
            ticks += 1
            before = time.monotonic() - coreless()
            await asyncio.sleep(TICK)
            self.stall = max(self.stall, time.monotonic() - coreless() - before - TICK)


@cache
def _schedstat(_thread: int) -> int | None:
    try:
        return os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return None


def coreless() -> float:
    """Return the seconds that this thread has waited for a core so far; 0 if that is unknown."""
    # Kept open: it is read so often that opening it would affect the figures.
    file = _schedstat(threading.get_ident())
    return int(os.pread(file, 100, 0).split()[1]) / 1e9 if file is not None else 0.0


def resident_kib() -> float:
    """Return the memory of this process in KiB; 0 if that is unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB
    except OSError:
        return 0.0
