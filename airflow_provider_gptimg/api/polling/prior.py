"""What is known about the duration of generations before the first one is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

KNOWN_UNTIL = 0.03
"""Share of generations that may outlast a prior's last age. Beyond that age the prior says nothing, and the
interval applies."""

TYPICAL = {"1K": (5.0, 30.0), "2K": (6.0, 45.0), "4K": (20.0, 180.0)}
"""Seconds that eight of ten generations take, by resolution. The service says 5 to 30 s; users report one to
three minutes for 4K and for high quality (contract: Status)."""

UNKNOWN = (5.0, 60.0)
"""The same if the resolution is not known."""

FURTHER_IMAGE = 0.5
MOST_TIMES_LONGER = 3.0
"""Each further image of a generation takes half as long again; many are surely made side by side."""


@dataclass(frozen=True)
class Prior:
    """A log-normal distribution of durations.

    :param median: seconds.
    :param sigma: its spread, of the logarithm.
    """

    median: float
    sigma: float

    @classmethod
    def between(cls, least: float, most: float) -> Prior:
        """Return the distribution in which eight of ten generations take between two durations (seconds)."""
        middle, half = (math.log(most) + math.log(least)) / 2, (math.log(most) - math.log(least)) / 2
        return cls(math.exp(middle), half / NormalDist().inv_cdf(0.9))

    def hazard(self, since: float, until: float) -> float | None:
        """Return the chance per second to finish between two ages (seconds), None if it is not known."""
        running, then = self._running(since), self._running(until)
        if running < KNOWN_UNTIL or then <= 0.0:
            return None
        return math.log(running / then) / (until - since)

    def _running(self, age: float) -> float:
        if age <= 0.0:
            return 1.0
        return 1.0 - NormalDist(math.log(self.median), self.sigma).cdf(math.log(age))


@lru_cache(maxsize=64)
def prior_of(resolution: str | None, n: int) -> Prior:
    """Return what to expect of generations of a resolution with ``n`` images each."""
    least, most = TYPICAL.get((resolution or "").upper(), UNKNOWN)
    longer = min(1.0 + FURTHER_IMAGE * (max(n, 1) - 1), MOST_TIMES_LONGER)
    return Prior.between(least * longer, most * longer)
