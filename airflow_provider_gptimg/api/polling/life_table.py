"""How long generations of one kind take: a life table that forgets slowly and never grows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from airflow_provider_gptimg.api.polling.prior import Prior

HANDFUL = 6.0
"""The weight of a prior at each age, in generations: a dozen real ones outweigh it."""

MEMORY = 500.0
"""Generations seen at an age after which the data for that age is halved, so that changes of the service are
learned. It is per age, because generations that were submitted together pass each age together."""

AT_RISK = 3.0
"""Generations that must have been watched at an age for its hazard to be believed."""

LEAST_SHARE = 0.02
"""Least hazard of an age, as a share of the average. That none finished there so far proves little."""

_EDGES = [0.0]
# The service states whole seconds, so finer steps would only show their rounding.
while _EDGES[-1] < 7200.0:
    _EDGES.append(_EDGES[-1] + max(0.5, 0.12 * _EDGES[-1]))
_AGES = len(_EDGES) - 1


class LifeTable:
    """Finishes seen at each age, and the seconds for which generations were watched at that age.

    The hazard of an age is the first divided by the second. So waits that are still going on, fail or run
    out of time count as watched and not finished.

    :param prior: the expectation before any was seen. It has the weight of :data:`HANDFUL` generations.
    """

    def __init__(self, prior: Prior) -> None:
        self.finishes = 0
        self._prior = _hazards_of(prior)
        self._finished = [0.0] * _AGES
        self._watched = [0.0] * _AGES

    def watch(self, since: float, until: float) -> None:
        """Note that a generation was still running between two ages, in seconds."""
        for i in range(bisect_right(_EDGES, since) - 1, _AGES):
            seconds = min(until, _EDGES[i + 1]) - max(since, _EDGES[i])
            if seconds <= 0:
                break
            self._watched[i] += seconds
            if self._watched[i] > MEMORY * (_EDGES[i + 1] - _EDGES[i]):
                self._watched[i] /= 2
                self._finished[i] /= 2

    def finish(self, age: float) -> None:
        """Note that a generation took ``age`` seconds."""
        if age < _EDGES[-1]:
            self._finished[bisect_right(_EDGES, age) - 1] += 1
            self.finishes += 1

    def hazards(self) -> list[tuple[float, float]]:
        """Return (width in seconds, hazard per second) from age 0 up to the age too few have reached."""
        finished, watched = _smooth(self._finished), _smooth(self._watched)
        for i, expected in enumerate(self._prior):
            seconds = HANDFUL * (_EDGES[i + 1] - _EDGES[i])
            finished[i] += expected * seconds
            watched[i] += seconds
        least = LEAST_SHARE * sum(finished) / sum(watched)
        known = []
        for i in range(_AGES):
            width = _EDGES[i + 1] - _EDGES[i]
            if i >= len(self._prior) and self._watched[i] < AT_RISK * width:
                break
            known.append((width, max(least, finished[i] / watched[i])))
        return known


@lru_cache(maxsize=64)
def _hazards_of(prior: Prior) -> Sequence[float]:
    """Return the hazard per second of each age, up to the last one that the prior knows."""
    hazards = []
    for since, until in pairwise(_EDGES):
        hazard = prior.hazard(since, until)
        if hazard is None:
            break
        hazards.append(hazard)
    return hazards


def _smooth(values: Sequence[float]) -> list[float]:
    around = [values[0], *values, values[-1]]
    return [(a + 2 * b + c) / 4 for a, b, c in zip(around, around[1:], around[2:], strict=False)]
