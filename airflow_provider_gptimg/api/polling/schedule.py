"""When to look at a generation, learned from the durations of others of its kind.

A look too early is wasted, a look too late keeps a finished image waiting. With h(t) = f/(1-F) the hazard
(the chance per second that a generation of age t, still running, finishes now), the lateness expected for
a given number of looks is smallest if looks have the density

    n(t) = sqrt(h(t) / 2c),   that is a gap of about sqrt(2c / h(t)) seconds,

where c is the price of a look (J. B. Keller, "Optimum checking schedules for systems subject to random
failure", Management Science 21, 1974; R. E. Barlow, L. C. Hunter and F. Proschan, "Optimum checking
procedures", J. SIAM 11, 1963). Here c follows from the interval that a user asks for: the
expected number of looks is what a fixed interval would need, E[T] / interval. So looks are moved, not
added. At no moment has a wait looked more often than one that looks after half an interval and then once an
interval (less the jitter that a fixed interval has too), and no gap is shorter than half an interval.
Before any finish is known, a prior is used (``prior.py``). At ages that neither the prior nor enough
generations have reached, the fixed interval applies.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_provider_gptimg.api.generation import COMPLETED, Generation
from airflow_provider_gptimg.api.polling.life_table import HANDFUL, LifeTable
from airflow_provider_gptimg.api.polling.prior import Prior, prior_of

SHARE = 0.94
"""Share of a fixed interval's looks to plan for. The rest is a reserve, because estimates are never exact."""

COLD_SHARE = 1.15
"""The same before anything was seen: the first generations are looked at a little more often, so that they
are not late because the prior is wrong."""

LEAST_MEAN_GAP = 0.95
"""Least average gap, in intervals. The jitter of a fixed interval makes some gaps as short."""

HEAD_START = 0.5
"""Age in intervals from which that average counts: a fixed interval wastes no look on the first seconds."""

LEAST_GAP = 0.5
MOST_GAP = 3.0
FIRST_GAP = 2.5
"""Bounds of a gap, in intervals: the service may have become faster, and before the first look nobody
knows how long ago the submission was."""

SURE = 2.0
"""Most hazard between two looks. By then seven of eight are finished, and a look is needed anyway."""

MOST_KINDS = 64
RENEW_AFTER = 32
"""Looks after which the plan is made again. Each of the first 32 finishes also renews it."""


@dataclass(frozen=True)
class Plan:
    """The data of a life table, up to the last age that it knows (``ages[-1]``, seconds).

    :param hazard: integral of the hazard up to each age.
    :param looks: integral of its square root: looks up to there, except for a factor.
    :param density: that integral per second of life, on average over generations.
    :param mean_life: seconds, of lives cut off at the last age.
    """

    ages: Sequence[float]
    hazard: Sequence[float]
    looks: Sequence[float]
    density: float
    mean_life: float

    @classmethod
    def of(cls, hazards: Sequence[tuple[float, float]]) -> Plan:
        """Return the plan for a list of (width in seconds, hazard per second)."""
        ages, hazard, looks = [0.0], [0.0], [0.0]
        mean_life = mean_looks = 0.0
        for width, rate in hazards:
            spent = math.exp(-hazard[-1]) * -math.expm1(-rate * width) / rate
            mean_life += spent
            mean_looks += spent * math.sqrt(rate)
            ages.append(ages[-1] + width)
            hazard.append(hazard[-1] + rate * width)
            looks.append(looks[-1] + math.sqrt(rate) * width)
        return cls(ages, hazard, looks, mean_looks / mean_life, mean_life)

    def hazard_until(self, age: float) -> float:
        """Return minus the logarithm of the chance to run for longer than ``age`` seconds."""
        return _read(age, self.ages, self.hazard, 1.0 / self.mean_life)

    def next_look(self, last: float, interval: float) -> float:
        """Return the age in seconds for the look after one at the age ``last``."""
        target = _read(last, self.ages, self.looks, self.density) + interval * self.density
        surely_finished = self.hazard_until(last) + SURE
        return min(
            _read(target, self.looks, self.ages, 1.0 / self.density),
            _read(surely_finished, self.hazard, self.ages, self.mean_life),
        )


def _read(x: float, xs: Sequence[float], ys: Sequence[float], slope: float) -> float:
    """Interpolate. Beyond the last point, go on with ``slope``."""
    if x >= xs[-1]:
        return ys[-1] + (x - xs[-1]) * slope
    right = bisect_right(xs, x)
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return ys[right - 1] + share * (ys[right] - ys[right - 1])


class Schedule:
    """The schedule that all waits for generations of one kind share and improve.

    :param prior: the expectation before any was seen.
    """

    def __init__(self, prior: Prior) -> None:
        self._table = LifeTable(prior)
        self._renew()

    @property
    def plan(self) -> Plan:
        """The current plan."""
        if self._looks >= RENEW_AFTER:
            self._renew()
        return self._plan

    @property
    def share(self) -> float:
        """The share of a fixed interval's looks to plan for."""
        cold = HANDFUL / (HANDFUL + self._table.finishes)
        return SHARE + (COLD_SHARE - SHARE) * cold

    def _renew(self) -> None:
        self._plan, self._looks = Plan.of(self._table.hazards()), 0

    def learn(self, since: float, until: float, status: str) -> None:
        """Note that a generation ran on from one age to another (seconds), and its status then."""
        self._looks += 1
        self._table.watch(since, until)
        if status == COMPLETED:
            self._table.finish(until)
            if self._table.finishes <= RENEW_AFTER:
                self._looks = RENEW_AFTER


def kind_of(model: str | None, resolution: str | None, n: int) -> str:
    """Return the name of a kind: generations that take about equally long."""
    return f"{model}/{resolution}/{n}"


def _prior_of(kind: str | None) -> Prior:
    _, resolution, n = (kind or "").rsplit("/", 2) if (kind or "").count("/") >= 2 else ("", "", "")
    return prior_of(resolution, int(n) if n.isdecimal() else 1)


class Schedules:
    """The schedules of one account, by kind."""

    def __init__(self) -> None:
        self._by_kind: OrderedDict[str | None, Schedule] = OrderedDict()

    def of(self, kind: str | None) -> Schedule:
        """Return the schedule of a kind, such as ``gpt-image-2/2K/1``; None is a kind too."""
        if kind not in self._by_kind:
            self._by_kind[kind] = Schedule(_prior_of(kind))
        schedule = self._by_kind[kind]
        self._by_kind.move_to_end(kind)
        if len(self._by_kind) > MOST_KINDS:
            self._by_kind.popitem(last=False)
        return schedule


class Course:
    """One wait's way through a schedule: when it looks next, and how much a look is worth now.

    :param interval: seconds; there are as many looks as with this fixed interval.
    :param clock: returns Unix seconds.
    :param since: when the wait began (Unix seconds), by default now. Before the first look, this is also
        taken as the time of the submission.
    :param advise: False if something else decides when to look. It still learns.
    """

    __slots__ = (
        "_advise",
        "_began",
        "_born",
        "_clock",
        "_interval",
        "_last",
        "_looks",
        "_schedule",
        "_sightings",
        "_stated",
    )

    def __init__(
        self,
        schedule: Schedule,
        interval: float,
        clock: Callable[[], float],
        *,
        since: float | None = None,
        advise: bool = True,
    ) -> None:
        self._schedule = schedule
        self._interval = interval
        self._clock = clock
        self._advise = advise and interval > 0
        self._began = self._born = self._stated = clock() if since is None else since
        self._last = 0.0
        self._looks = self._sightings = 0

    def saw(self, generation: Generation) -> None:
        """Learn from a look."""
        now = self._clock()
        if generation.created_at is not None:
            # Both times are whole seconds, so the mean of several differences is better than one.
            self._sightings += 1
            self._stated += (now - generation.age(now) - self._stated) / self._sightings
            # It was submitted before the wait began, even if the clocks disagree.
            self._born = min(self._stated, self._began)
        self._looks += 1
        since, self._last = self._last, max(self._age(), self._last)
        until = self._last
        if generation.status == COMPLETED:
            taken = generation.duration
            until = (since + until) / 2 if taken is None else max(since, taken)
        self._schedule.learn(since, until, generation.status)

    def pause(self) -> float | None:
        """Return the seconds until the next look, None if nothing helpful is known."""
        plan, age, interval = self._schedule.plan, self._age(), self._interval
        if not self._advise or age >= plan.ages[-1]:
            return None
        gap = plan.next_look(self._last, interval / self._schedule.share) - self._last
        gap *= random.uniform(0.9, 1.1)
        most = MOST_GAP if self._looks else FIRST_GAP
        gap = min(max(gap, LEAST_GAP * interval), most * interval)
        earliest = (LEAST_MEAN_GAP * (self._looks + HEAD_START) + random.uniform(-0.1, 0.1)) * interval
        return max(0.0, self._last + gap - age, earliest - age)

    def worth(self) -> float:
        """Return how much a look is worth now. It grows with the chance to find the generation finished.

        That chance is 1 - exp(-x), with x the integral of the hazard since the last look.
        """
        plan, age = self._schedule.plan, self._age()
        return plan.hazard_until(age) - plan.hazard_until(self._last)

    def _age(self) -> float:
        return max(0.0, self._clock() - self._born)
