"""An ideal scheduler under a rate limit, simulated: it knows how long jobs take, and calls take no time.

It looks by the best schedule for the distribution. If the limit allows fewer looks than are due, the next one
goes to the job that is most likely finished. Of the intervals that scale the schedule it takes the one with
the least mean lateness, because an ideal scheduler also knows how scarce looks are.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from airflow_provider_gptimg.api.polling.schedule import Plan
from benchmarks.job_service import BURST_SECONDS, MEDIAN, SIGMA, durations

STEP = 0.02
THINNED = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""The schedules to try, as multiples of the interval."""


@dataclass(frozen=True)
class Outcome:
    """The result of an ideal scheduler; lateness in seconds for each job."""

    polls: int
    lateness: Sequence[float]


def ideal(count: int, seed: int, interval: float, rate: float) -> Outcome:
    """Return the outcome with the least lateness, under a limit of ``rate`` queries per second."""
    taken, plan = durations(count, seed), _plan()
    outcomes = [_simulate(taken, plan, interval * factor, rate) for factor in THINNED]
    return min(outcomes, key=lambda outcome: fmean(outcome.lateness))


def _plan() -> Plan:
    """Return the plan for the distribution itself."""
    lives, width, pieces = NormalDist(math.log(MEDIAN), SIGMA), 0.25, []
    for i in range(int(MEDIAN * 8 / width)):
        running, then = (1.0 - lives.cdf(math.log(max(i + k, 1e-9) * width)) for k in (0, 1))
        if then <= 0:
            break
        pieces.append((width, max(1e-9, math.log(running / then) / width)))
    return Plan.of(pieces)


def _simulate(taken: Sequence[float], plan: Plan, interval: float, rate: float) -> Outcome:
    due = [(plan.next_look(0.0, interval), number) for number in range(len(taken))]
    heapq.heapify(due)
    waiting: list[tuple[float, int]] = []
    tokens, now, polls = rate * BURST_SECONDS, 0.0, 0
    lateness = [0.0] * len(taken)
    last = [0.0] * len(taken)
    while due or waiting:
        now += STEP
        tokens = min(rate * BURST_SECONDS, tokens + rate * STEP)
        while due and due[0][0] <= now:
            number = heapq.heappop(due)[1]
            # All began at once, so the one that was looked at longest ago is most likely finished.
            heapq.heappush(waiting, (last[number], number))
        while waiting and tokens >= 1:
            number = heapq.heappop(waiting)[1]
            tokens -= 1
            polls += 1
            if taken[number] <= now:
                lateness[number] = now - taken[number]
                continue
            last[number] = now
            heapq.heappush(due, (plan.next_look(now, interval), number))
    return Outcome(polls, lateness)
