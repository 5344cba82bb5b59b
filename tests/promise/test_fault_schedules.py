"""Thousands of generated schedules of faults, kills, retries and Clears against a service with a ledger.

What holds, and why. One round of look-ups spans 15 seconds and ends with a clear "unknown". So where the
service knows business ids and shows a task within 15 seconds of its acceptance, no generation is ever
accepted while an earlier one of the series is running or still has its images: paid once. Where it does
not (no business ids, or a task that appears later than that), it is undecidable whether an unanswered
submission was accepted; then a second one may be paid, only after the log said so, and never while a
remembered generation is alive. With ``on_ambiguous="fail"`` an unanswered submission ends the retries;
only a worker that died, or whose look-ups all failed, leaves a retry that may pay again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Flow, Pace, Send, Sleep
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.payment.submission import Known, Reconciler
from tests.support.driving import Clock
from tests.support.paying_service import LIFETIME, Service, Task

SCHEDULES = int(os.environ.get("GPTIMG_SCHEDULES", "10000"))
SEED = int(os.environ.get("GPTIMG_SCHEDULE_SEED", random.SystemRandom().randrange(2**32)))

ROUND = 15.0
"""Seconds that one round of look-ups spans."""

WAIT_LIMIT, PATIENCE = 1_800.0, 600.0
MOST_STEPS, MOST_SECONDS = 1_500, 6_000.0
"""No attempt of a task takes more."""

REQUEST = GenerationRequest.checked("a fox")


class Attempt(NamedTuple):
    """One attempt of the task.

    :param clear: whether a user cleared the task before it.
    :param gap: seconds before it.
    :param kill_at: the step of the flow at which its worker dies, 0 for none.
    :param kill_late: whether that request still reaches the service.
    """

    clear: bool
    gap: float
    kill_at: int
    kill_late: bool


class Schedule(NamedTuple):
    faults: list[int]
    attempts: list[Attempt]
    outcomes: list[float]
    knows_ids: bool
    lag: float
    newest: bool
    on_ambiguous: str
    remembers: bool


ATTEMPTS = st.builds(
    Attempt,
    st.sampled_from([False] * 5 + [True]),
    st.sampled_from([0.0, 5.0, 300.0, 2_000.0, 100_000.0]),
    st.sampled_from([0] * 4 + list(range(1, 16))),
    st.booleans(),
)
SCHEDULE = st.builds(
    Schedule,
    st.lists(st.just(0) | st.integers(1, 45), max_size=14),
    st.lists(ATTEMPTS, max_size=5),
    st.lists(st.sampled_from([0.0, 3.0, 20.0, 400.0, 3_000.0, -3.0, -30.0]), max_size=4),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([0.0, 2.0, 6.0, 14.0, 60.0]),
    st.booleans(),
    st.sampled_from(["resubmit", "fail"]),
    st.booleans(),
)


@dataclass
class Totals:
    """What all schedules together did."""

    schedules: int = 0
    attempts: int = 0
    requests: int = 0
    billed: int = 0
    paid_twice: int = 0
    killed: int = 0
    cleared: int = 0
    seconds: float = 0.0


@dataclass
class World:
    """One schedule as it runs: the service, the task's series, and what the task's log says."""

    schedule: Schedule
    totals: Totals
    clock: Clock = field(default_factory=Clock)
    series: int = 0
    fresh: bool = True
    log: list[str] = field(default_factory=list)
    known: Known | None = None
    accepted_in_attempt: int = 0

    def __post_init__(self) -> None:
        self.faults: Iterator[int] = iter(self.schedule.faults)
        self.service = Service(
            clock=self.clock,
            faults=iter(lambda: next(self.faults, 0), None),
            outcomes=iter(self.schedule.outcomes),
            knows_ids=self.schedule.knows_ids,
            lag=self.schedule.lag,
            newest=self.schedule.newest,
            on_accept=self.check_payment,
        )

    def check_payment(self, task: Task) -> None:
        """The invariant of money, at the moment at which the service bills."""
        self.totals.billed += 1
        self.accepted_in_attempt += 1
        assert task.business_id.startswith(f"af-{self.series}-"), "billed to another series"
        if self.schedule.on_ambiguous == "fail":
            assert self.accepted_in_attempt == 1, "paid twice within an attempt that must not"
        live = [earlier for earlier in self.tasks() if earlier.is_live(task.accepted_at)]
        if live:
            self.totals.paid_twice += 1
            assert not self.is_decidable, "paid twice, although look-ups could have known"
            remembered = self.known.generation_id if self.known else None
            assert remembered not in [earlier.id for earlier in live], "paid twice for what is remembered"
            assert any("paid twice" in line for line in self.log), "paid twice, and the log did not say so"

    @property
    def is_decidable(self) -> bool:
        """Whether one round of look-ups finds each task that the series has paid for."""
        return all(task.shown_after <= ROUND for task in self.tasks())

    def tasks(self) -> list[Task]:
        """Return the current series' accepted tasks."""
        return [t for t in self.service.ledger if t.business_id.startswith(f"af-{self.series}-")]

    def flow(self) -> Flow[Generation]:
        """Return what one attempt of the operator does: submit or attach, then wait."""
        reconciler = Reconciler(
            request=REQUEST,
            business_id=lambda ordinal, series=self.series: f"af-{series}-{ordinal}",  # type: ignore[misc]
            fresh=self.fresh,
            known=self.known,
            on_ambiguous=self.schedule.on_ambiguous,  # type: ignore[arg-type]
            give_up_at=self.clock() + PATIENCE,
            clock=self.clock,
            report=self.log.append,
        )
        submission = yield from reconciler.submit()
        if self.schedule.remembers:
            self.known = Known(
                generation_id=submission.generation.id,
                ordinal=submission.ordinal,
                submissions=submission.submissions,
                submitted_at=submission.submitted_at,
            )
        return (
            yield from flows.wait(
                submission.generation.id,
                pace=Pace(30.0),
                deadline=submission.submitted_at + WAIT_LIMIT,
                clock=self.clock,
            )
        )

    def attempt(self, attempt: Attempt) -> Generation | ApiError | None:
        """Run one attempt; None if it was killed."""
        self.totals.attempts += 1
        self.accepted_in_attempt = 0
        if attempt.clear:
            self.series, self.fresh, self.log, self.known = self.series + 1, True, [], None
            self.totals.cleared += 1
        self.clock.now += attempt.gap
        began = self.clock()
        try:
            return self.drive(self.flow(), attempt)
        except ApiError as error:
            return error
        finally:
            self.fresh = False
            assert self.clock() - began <= MOST_SECONDS

    def drive(self, flow: Flow[Generation], attempt: Attempt) -> Generation | None:
        give: Callable[[], Send | Sleep] = lambda: next(flow)  # noqa: E731
        for number in range(1, MOST_STEPS):
            try:
                step = give()
            except StopIteration as end:
                result: Generation = end.value
                return result
            killed = number == attempt.kill_at
            if not killed or attempt.kill_late:
                give = self.perform(flow, step)
            if killed:
                self.totals.killed += 1
                flow.close()
                return None
        raise AssertionError(f"an attempt takes more than {MOST_STEPS} steps")

    def perform(self, flow: Flow[Generation], step: Send | Sleep) -> Callable[[], Send | Sleep]:
        if isinstance(step, Sleep):
            assert 0 <= step.seconds <= WAIT_LIMIT
            self.clock.now += step.seconds
            return lambda: flow.send(None)
        self.totals.requests += 1
        try:
            reply = self.service.answer(step.request)
        except ApiError as unanswered:
            error = unanswered
            return lambda: flow.throw(error)
        return lambda: flow.send(reply)


def run(schedule: Schedule, totals: Totals) -> None:
    world = World(schedule, totals)
    done: Generation | ApiError | None = None
    for attempt in schedule.attempts:
        if attempt.clear or not isinstance(done, Generation):
            done = world.attempt(attempt._replace(clear=attempt.clear or is_undecided(done)))
            check_handed_on(world, done)
    # From here on the service behaves, and the task has retries left.
    world.faults = iter(())
    for _ in range(len(schedule.outcomes) + 3):
        if isinstance(done, Generation):
            return
        done = world.attempt(Attempt(clear=is_undecided(done), gap=1_000.0, kill_at=0, kill_late=False))
        check_handed_on(world, done)
        if isinstance(done, ApiError):
            assert done.kind in (Kind.FAILED, Kind.TIMEOUT), "nothing else is left that can go wrong"
    assert isinstance(done, Generation), f"never handed on: {done!r}; {world.log}"


def is_undecided(done: Generation | ApiError | None) -> bool:
    """Whether the task failed without retries, so that only a Clear starts it again."""
    return isinstance(done, ApiError) and done.kind is Kind.UNDECIDED


def check_handed_on(world: World, done: Generation | ApiError | None) -> None:
    """What is handed on has images, of this series, and of the generation that was paid for first."""
    if not isinstance(done, Generation):
        return
    handed = next(task for task in world.tasks() if task.id == done.id)
    assert done.urls == (f"https://x/{handed.id}.png",)
    assert world.clock() < handed.done_at + LIFETIME, "handed on images that are gone"
    if world.is_decidable:
        alive = [task for task in world.tasks() if task.is_live(world.clock())]
        assert alive in ([handed], []), "paid for one and handed on another"


def test_whatever_goes_wrong_an_image_is_paid_once_and_never_lost(
    record_figures: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    totals, began = Totals(), time.perf_counter()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=SCHEDULES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(SCHEDULE)
    def schedules(schedule: Schedule) -> None:
        totals.schedules += 1
        run(schedule, totals)

    try:
        schedules()
    finally:
        totals.seconds = time.perf_counter() - began
        record_figures(
            f"fault schedules: {totals.schedules:,} in {totals.seconds:.1f} s (seed {SEED}); "
            f"{totals.attempts:,} attempts, {totals.killed:,} killed, {totals.cleared:,} Clears, "
            f"{totals.requests:,} requests, {totals.billed:,} billed, {totals.paid_twice:,} of them "
            "twice where nobody can know"
        )
