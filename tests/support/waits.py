"""Waits in virtual time: generations of given durations, looked at when their courses say so."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.polling.schedule import Course, Schedule
from tests.support.driving import START, Clock

INTERVAL = 5.0


def log_normal(count: int, seed: int = 1, middle: float = 20.0, sigma: float = 0.5) -> list[float]:
    draw = random.Random(seed)
    return [middle * math.exp(sigma * draw.gauss(0.0, 1.0)) for _ in range(count)]


@dataclass
class Waited:
    """What came of it: the ages at which each generation was looked at, and how late its finish was seen."""

    ages: list[list[float]]
    late: list[float]

    @property
    def polls(self) -> float:
        return fmean(len(ages) for ages in self.ages)


def spread(number: int) -> float:
    """Let waits begin one after the other, so that each has the experience of those before."""
    return number * 0.7


def at_once(number: int) -> float:
    return number * 1e-3


def waited(
    durations: Sequence[float],
    schedule: Schedule | None,
    *,
    begins: Callable[[int], float] = spread,
    interval: float = INTERVAL,
    stated: bool = True,
    fails: Callable[[int], bool] = lambda number: False,
    gives_up_after: float = math.inf,
    submitted_before: float = 0.0,
    seed: int = 7,
) -> Waited:
    """Wait for all; without a schedule, look at the fixed interval.

    :param stated: whether the service says when a generation began and ended, in whole seconds.
    :param submitted_before: seconds from a submission to the beginning of its wait, which does not know it.
    """
    random.seed(seed)
    clock, pace = Clock(), Pace(interval)
    courses: dict[int, Course] = {}
    started: set[int] = set()
    result = Waited([[] for _ in durations], [])
    began = [START + begins(number) for number in range(len(durations))]
    due = [(at + submitted_before, number) for number, at in enumerate(began)]
    heapq.heapify(due)
    while due:
        clock.now, number = heapq.heappop(due)
        if number not in started:
            started.add(number)
            if schedule:
                courses[number] = Course(schedule, interval, clock)
        else:
            age = clock.now - began[number]
            result.ages[number].append(age)
            ended = age >= durations[number]
            if schedule:
                status = "in_progress" if not ended else "failed" if fails(number) else "completed"
                courses[number].saw(
                    Generation(
                        id="x",
                        status=status,
                        created_at=math.floor(began[number]) if stated else None,
                        completed_at=math.floor(began[number] + durations[number])
                        if ended and stated
                        else None,
                        answered_at=math.floor(clock.now),
                    )
                )
            if ended or age > gives_up_after:
                result.late.append(age - durations[number])
                continue
        advised = courses[number].pause() if schedule else None
        heapq.heappush(due, (clock.now + (pace.pause(1) if advised is None else advised) + 1e-6, number))
    return result
