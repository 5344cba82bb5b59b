"""The learned schedule: better looks than a fixed interval, and nothing worse when it knows little."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from statistics import NormalDist, fmean, median

import pytest

from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.polling import schedule as schedules
from airflow_provider_gptimg.api.polling.life_table import LifeTable
from airflow_provider_gptimg.api.polling.prior import prior_of
from airflow_provider_gptimg.api.polling.schedule import Course, Plan, Schedule, Schedules
from tests.support.driving import START, Clock
from tests.support.waits import INTERVAL, Waited, at_once, log_normal, waited


def learned(durations: list[float] | None = None) -> Schedule:
    """Return a schedule that has seen 200 generations."""
    schedule = Schedule(prior_of("1K", 1))
    waited(durations or log_normal(200, seed=99), schedule)
    return schedule


def fixed(durations: list[float], interval: float = INTERVAL) -> Waited:
    return waited(durations, None, interval=interval)


def exact_plan() -> Plan:
    """Return the plan for a log-normal life of 20 s that is known exactly."""
    life, width = NormalDist(math.log(20), 0.5), 0.25
    running = [1 - life.cdf(math.log(max(i, 1e-9) * width)) for i in range(400)]
    return Plan.of([(width, max(1e-9, math.log(a / b) / width)) for a, b in itertools.pairwise(running)])


def test_for_the_same_number_of_looks_the_formula_is_a_third_less_late() -> None:
    plan, ages = exact_plan(), [0.0]
    while ages[-1] < 500:
        ages.append(plan.next_look(ages[-1], INTERVAL))
    durations = log_normal(20_000)
    looks = [bisect.bisect_left(ages, taken) for taken in durations]
    late = fmean(ages[i] - taken for i, taken in zip(looks, durations, strict=True))
    by_interval = [math.ceil(taken / INTERVAL) for taken in durations]
    fixed_late = fmean(i * INTERVAL - taken for i, taken in zip(by_interval, durations, strict=True))
    assert fmean(looks) == pytest.approx(fmean(by_interval), rel=0.02)
    assert late < 0.71 * fixed_late


@pytest.mark.parametrize("begin", ["at once", "spread"])
def test_warm_it_needs_fewer_looks_and_is_a_sixth_less_late_at_least(begin: str) -> None:
    durations, schedule = log_normal(1_000), learned()
    by_interval = fixed(durations)
    ours = waited(durations, schedule, **({"begins": at_once} if begin == "at once" else {}))  # type: ignore[arg-type]
    assert ours.polls <= by_interval.polls
    assert fmean(ours.late) < 0.85 * fmean(by_interval.late)


LIVES = {
    "narrow": log_normal(1_000, sigma=0.1),
    "wide": log_normal(1_000, sigma=1.0),
    "minutes": log_normal(600, middle=120.0, sigma=0.3),
    "two kinds": [*log_normal(700, middle=8.0, sigma=0.2), *log_normal(300, middle=60.0, sigma=0.2)],
    "memoryless": [random.Random(i).expovariate(1 / 20) for i in range(1_000)],
    "short": log_normal(1_000, middle=2.0),
}


@pytest.mark.parametrize("lives", LIVES)
def test_no_distribution_makes_it_much_worse_than_the_fixed_interval(lives: str) -> None:
    durations = LIVES[lives]
    random.Random(3).shuffle(durations)
    by_interval, ours = fixed(durations), waited(durations, Schedule(prior_of("1K", 1)))
    assert ours.polls <= 1.1 * by_interval.polls
    assert fmean(ours.late) <= 1.1 * fmean(by_interval.late)


def test_a_thousand_at_once_with_no_experience_are_no_worse_off() -> None:
    """The first to finish are the fastest: who learns from them alone believes that all are fast."""
    durations = log_normal(1_000)
    by_interval, ours = fixed(durations), waited(durations, Schedule(prior_of("1K", 1)), begins=at_once)
    # All have had their first looks before it is known that there is nothing to see so early.
    assert ours.polls <= 1.16 * by_interval.polls
    assert fmean(ours.late) <= 0.9 * fmean(by_interval.late)


def test_a_crowd_many_times_larger_than_the_memory_is_served_as_well() -> None:
    durations = log_normal(5_000)
    by_interval, ours = fixed(durations), waited(durations, learned(), begins=at_once)
    assert fmean(ours.late) < 0.85 * fmean(by_interval.late)


def test_no_wait_looks_more_often_than_its_age_allows() -> None:
    for durations in LIVES.values():
        for ages in waited(durations, learned(), begins=at_once).ages:
            for looks, age in enumerate(ages):
                assert looks <= age / (0.9 * INTERVAL) + 0.5
            gaps = [later - earlier for earlier, later in itertools.pairwise(ages)]
            assert (
                min(gaps, default=INTERVAL) >= schedules.LEAST_GAP * INTERVAL - 1.1
            )  # stated in whole seconds


@pytest.mark.parametrize("interval", [5.0, 20.0, 60.0])
def test_the_interval_scales_it(interval: float) -> None:
    durations, schedule = log_normal(600, middle=100.0), learned(log_normal(200, middle=100.0))
    by_interval, ours = fixed(durations, interval), waited(durations, schedule, interval=interval)
    assert 0.75 * by_interval.polls <= ours.polls <= 1.02 * by_interval.polls
    assert fmean(ours.late) <= 0.95 * fmean(by_interval.late)


def cold(middle: float, sigma: float, *, several: int = 1, submitted_before: float = 0.0) -> Waited:
    """Wait in many processes that have seen nothing, for some generations each, one after the other."""
    results = [
        waited(
            log_normal(several, seed=seed, middle=middle, sigma=sigma),
            Schedule(prior_of("1K", 1)),
            begins=lambda number: number * 600.0,
            submitted_before=submitted_before,
            seed=seed,
        )
        for seed in range(60)
    ]
    return Waited([ages for r in results for ages in r.ages], [late for r in results for late in r.late])


@pytest.mark.parametrize("several", [1, 6])
@pytest.mark.parametrize("submitted_before", [0.0, 2.0], ids=["on the worker", "in the triggerer"])
@pytest.mark.parametrize("middle", [8.0, 20.0])
def test_cold_it_is_late_by_less_than_half_an_interval(
    middle: float, submitted_before: float, several: int
) -> None:
    ours = cold(middle, 0.02, several=several, submitted_before=submitted_before)
    assert median(ours.late) <= 0.5 * INTERVAL
    assert ours.polls <= 5.1


@pytest.mark.parametrize(
    ("middle", "sigma", "looks", "late"),
    [(2.0, 0.2, 1.0, 5.0), (60.0, 0.3, 1.12, 3.0), (180.0, 0.2, 1.1, 3.0)],
)
def test_a_wrong_prior_costs_little(middle: float, sigma: float, looks: float, late: float) -> None:
    """Images of 2 s are seen at the first look, which no interval of 5 s has much sooner."""
    ours, by_interval = cold(middle, sigma), fixed(log_normal(60, middle=middle, sigma=sigma))
    assert ours.polls <= looks * by_interval.polls
    assert median(ours.late) <= late


def test_a_wrong_prior_is_soon_outweighed() -> None:
    durations, schedule = log_normal(60, middle=2.0, sigma=0.2), Schedule(prior_of("4K", 1))
    late = waited(durations, schedule, begins=lambda number: number * 600.0).late
    assert late[0] > 3.0
    assert fmean(late[6:]) < 2.0


def test_what_takes_longer_is_first_looked_at_later() -> None:
    def first_look(kind: str | None) -> float:
        pauses = (Course(Schedules().of(kind), INTERVAL, Clock()).pause() for _ in range(50))
        return fmean(pause for pause in pauses if pause is not None)

    one, four, large = (first_look(f"gpt-image-2/{kind}") for kind in ("1K/1", "1K/4", "4K/1"))
    assert 4.0 < one < 8.0
    assert max(four, large) < schedules.FIRST_GAP * INTERVAL
    assert one < min(four, large)
    for odd in (None, "", "a/b", "maker/model/7K/x", "maker/model//1"):
        assert 4.0 < first_look(odd) < 9.0
    assert first_look("maker/model/4k/1") == pytest.approx(large, rel=0.1)


def test_beyond_what_prior_and_experience_reach_the_interval_holds() -> None:
    clock = Clock()
    course = Course(Schedule(prior_of("1K", 1)), INTERVAL, clock, since=START - 90.0)
    assert course.pause() is None
    assert Course(Schedule(prior_of("1K", 1)), INTERVAL, clock, advise=False).pause() is None


def test_what_outlives_all_experience_is_looked_at_by_the_interval() -> None:
    clock = Clock()
    course = Course(learned(), INTERVAL, clock)
    clock.now += 3_600
    course.saw(Generation(id="x", status="in_progress", created_at=START, answered_at=clock.now))
    assert course.pause() is None


@pytest.mark.parametrize("ahead", [-3_600.0, 3_600.0])
def test_clocks_that_disagree_do_not_stretch_a_wait(ahead: float) -> None:
    schedule, clock, pauses = learned(), Clock(), []
    course = Course(schedule, INTERVAL, clock)
    for _ in range(12):
        pause = course.pause()
        pauses.append(INTERVAL if pause is None else pause)
        clock.now += pauses[-1]
        course.saw(Generation(id="x", status="in_progress", created_at=START + ahead))
    assert max(pauses[2:]) <= 1.3 * INTERVAL


@pytest.mark.parametrize(("before", "after"), [(20.0, 60.0), (60.0, 20.0), (20.0, 5.0)])
def test_a_service_that_changed_its_speed_is_learned_anew(before: float, after: float) -> None:
    schedule = learned(log_normal(500, middle=before))
    waited(log_normal(500, middle=after), schedule)
    durations = log_normal(300, seed=3, middle=after)
    by_interval, ours = fixed(durations), waited(durations, schedule)
    assert ours.polls <= 1.05 * by_interval.polls
    assert fmean(ours.late) <= fmean(by_interval.late)


def test_failures_and_waits_given_up_do_not_count_as_finishes() -> None:
    """They are watched without finishing: so are others, which finish later, as often as before."""
    schedule = Schedule(prior_of("1K", 1))
    for number, taken in enumerate(log_normal(900)):
        if number % 3 == 0:
            schedule.learn(0.0, 3.0, "failed")
        elif number % 3 == 1:
            schedule.learn(0.0, min(taken, 12.0), "completed" if taken < 12.0 else "in_progress")
        else:
            schedule.learn(0.0, taken, "completed")
    assert schedule.plan
    life = NormalDist(math.log(20), 0.5)
    for age in (8.0, 20.0, 35.0):
        assert math.exp(-schedule.plan.hazard_until(age)) == pytest.approx(
            1 - life.cdf(math.log(age)), abs=0.06
        )


def test_durations_are_observed_where_the_service_does_not_state_them() -> None:
    durations, schedule = log_normal(800), Schedule(prior_of("1K", 1))
    waited(durations, schedule, stated=False)
    assert schedule.plan
    half = math.exp(-schedule.plan.hazard_until(20.0))
    assert half == pytest.approx(0.5, abs=0.1)


def test_the_table_is_the_distribution() -> None:
    durations, schedule = log_normal(2_000), Schedule(prior_of("1K", 1))
    waited(durations, schedule)
    assert schedule.plan
    for age in (10.0, 15.0, 20.0, 30.0, 45.0):
        running = fmean(taken > age for taken in durations)
        assert math.exp(-schedule.plan.hazard_until(age)) == pytest.approx(running, abs=0.05)


def test_a_table_may_be_used_for_ever() -> None:
    table = LifeTable(prior_of("1K", 1))
    for _ in range(50_000):
        table.watch(0.0, 21.0)
        table.finish(21.0)
    assert sum(width * hazard for width, hazard in table.hazards()) > 1
    assert max(table._finished) < 1_000


def test_a_look_is_worth_more_the_likelier_it_finds_something() -> None:
    schedule, clock = learned(), Clock()
    old, young = (Course(schedule, INTERVAL, clock, since=START - age) for age in (20.0, 4.0))
    clock.now += 1
    assert old.worth() > young.worth()
    unknown = [Course(Schedule(prior_of("1K", 1)), INTERVAL, clock, since=START - age) for age in (20.0, 4.0)]
    assert unknown[0].worth() > unknown[1].worth()
    old.saw(Generation(id="x", status="in_progress", created_at=START - 20, answered_at=clock.now))
    assert old.worth() == 0.0


def test_kinds_learn_apart_and_are_bounded() -> None:
    kinds = Schedules()
    assert kinds.of("a") is kinds.of("a") is not kinds.of(None)
    first = kinds.of("a")
    for number in range(1_000):
        kinds.of(f"gpt-image-2/{number}")
        kinds.of("a")
    assert kinds.of("a") is first, "what is used is kept"
    assert len(kinds._by_kind) <= schedules.MOST_KINDS


def test_generations_that_take_no_time_do_no_harm() -> None:
    schedule = Schedule(prior_of("1K", 1))
    for _ in range(100):
        schedule.learn(0.0, 0.0, "completed")
    pause = Course(schedule, INTERVAL, Clock()).pause()
    assert pause is not None
    assert pause >= schedules.LEAST_GAP * INTERVAL


@pytest.mark.parametrize("middle", [0.1, 0.5, 1.0])
def test_what_takes_no_time_is_looked_at_as_soon_as_may_be(middle: float) -> None:
    durations, schedule = log_normal(300, middle=middle), learned(log_normal(200, middle=middle))
    ours = waited(durations, schedule)
    assert ours.polls <= 1.05
    assert median(ours.late) < 0.8 * INTERVAL
