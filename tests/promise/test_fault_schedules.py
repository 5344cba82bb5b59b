"""Thousands of generated schedules of faults, kills, retries and Clears against a service with a ledger.

They run the real decision, the real memory and the real reconciler, over a model of each Airflow.

What holds, and why. A *series* is all that serves one image: it ends when that is given. A series that has
given nothing is never paid for twice, whatever is cleared, killed or refused. One round of look-ups spans 15
seconds and ends with a clear "unknown". So if the service knows business ids and shows a task within 15
seconds of its acceptance, no generation is ever accepted while an earlier one of its series is running or
still has its images.

Three things cannot be known, and then a second one may be paid for. If the service knows no business ids, or
shows a task later, nobody can tell whether an unanswered submission was accepted; the log says so first, and
it never happens while a remembered generation is alive. And if an Airflow tells an attempt nothing at all (no
store, no XComs), a Clear counts as one after success. If a Clear discards the task state
(3.4), a generation that is completed counts as given. If nothing was accepted since an earlier Clear, such
a Clear may hand on the image that was given before that one; it pays nothing.
"""

from __future__ import annotations

import logging
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
from airflow_provider_gptimg.api.flows import Flow, Pace, Send, Sleep, T
from airflow_provider_gptimg.api.generation import COMPLETED, Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.payment.attempt import Attempt
from airflow_provider_gptimg.payment.decision import FIRST_SERIES, Action, Decision
from airflow_provider_gptimg.payment.identity import Identity, fingerprint
from airflow_provider_gptimg.payment.memory import KEY, read_record
from airflow_provider_gptimg.payment.receipt import Receipt
from airflow_provider_gptimg.payment.submission import Reconciler, latest_of
from tests.support.airflow_model import VERSIONS, TaskModel, Version
from tests.support.driving import Clock
from tests.support.paying_service import LIFETIME, Service, Task
from tests.support.untraced import untraced

SCHEDULES = int(os.environ.get("GPTIMG_SCHEDULES", "10000"))
SEED = int(os.environ.get("GPTIMG_SCHEDULE_SEED", random.SystemRandom().randrange(2**32)))

ROUND = 15.0
"""Seconds that one round of look-ups spans."""

WAIT_LIMIT, PATIENCE = 1_800.0, 600.0
MOST_STEPS, MOST_SECONDS = 1_500, 6_000.0
"""No attempt of a task takes more."""

REQUEST = GenerationRequest.checked("a fox")
SILENT = logging.getLogger("gptimg.schedules")
SILENT.setLevel(logging.CRITICAL)


class Start(NamedTuple):
    """How an attempt of the task begins, and how it ends.

    :param clear: whether a user cleared the task before it. Otherwise it is a retry, if it can be one.
    :param keeps_state: whether that Clear keeps the task state (3.4).
    :param gap: seconds before it.
    :param kill_at: the step at which its worker dies, 0 for none. A step is a request, a sleep, an access to
        the task state store, or the push of an XCom.
    :param kill_late: whether a request of that step still reaches the service.
    :param in_triggerer: whether its trigger ends the task.
    :param store: what is wrong with the store: nothing, it cannot be read, or not written; or it was emptied.
    :param crash: whether Airflow does not hear of its success.
    """

    clear: bool
    keeps_state: bool
    gap: float
    kill_at: int
    kill_late: bool
    in_triggerer: bool
    store: str
    crash: bool


class Schedule(NamedTuple):
    faults: list[int]
    starts: list[Start]
    outcomes: list[float]
    knows_ids: bool
    lag: float
    newest: bool
    on_ambiguous: str
    version: Version
    pushes_xcoms: bool
    on_clear: str


STARTS = st.builds(
    Start,
    st.sampled_from([False] * 3 + [True]),
    st.booleans(),
    st.sampled_from([0.0, 5.0, 300.0, 2_000.0, 100_000.0]),
    st.sampled_from([0] * 4 + list(range(1, 22))),
    st.booleans(),
    st.sampled_from([False, False, True]),
    st.sampled_from(["fine"] * 5 + ["get", "set", "emptied"]),
    st.sampled_from([False] * 4 + [True]),
)
SCHEDULE = st.builds(
    Schedule,
    st.lists(st.just(0) | st.integers(1, 45), max_size=14),
    st.lists(STARTS, max_size=6),
    st.lists(st.sampled_from([0.0, 3.0, 20.0, 400.0, 3_000.0, -3.0, -30.0]), max_size=5),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([0.0, 2.0, 6.0, 14.0, 60.0]),
    st.booleans(),
    st.sampled_from(["resubmit", "fail"]),
    st.sampled_from(VERSIONS),
    st.sampled_from([True, True, True, False]),
    st.sampled_from(["new", "new", "continue"]),
)


class Killed(BaseException):
    """The worker is dead."""


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
    given: int = 0
    seconds: float = 0.0


@dataclass
class World:
    """One schedule as it runs: the service, Airflow, and what the task's log says.

    :param series: where the current series begins in the ledger.
    :param is_lost: whether nothing at all can tell an attempt to which series it belongs.
    :param only_the_service_tells: whether nothing but the service knows of what was before a Clear.
    :param named: the name of the current series.
    :param begun: where each series that has a name begins in the ledger.
    """

    schedule: Schedule
    totals: Totals
    clock: Clock = field(default_factory=Clock)
    log: list[str] = field(default_factory=list)
    decision: Decision | None = None
    accepted_in_attempt: int = 0
    series: int = 0
    is_lost: bool = False
    only_the_service_tells: bool = False
    named: str = FIRST_SERIES
    begun: dict[str, int] = field(default_factory=lambda: {FIRST_SERIES: 0})
    step: int = 0
    start: Start | None = None

    def __post_init__(self) -> None:
        self.faults: Iterator[int] = iter(self.schedule.faults)
        self.task = TaskModel(
            self.schedule.version, self.schedule.pushes_xcoms, before=lambda name: self.may_die()
        )
        self.service = Service(
            clock=self.clock,
            faults=iter(lambda: next(self.faults, 0), None),
            outcomes=iter(self.schedule.outcomes),
            knows_ids=self.schedule.knows_ids,
            lag=self.schedule.lag,
            newest=self.schedule.newest,
            on_accept=self.check_payment,
        )

    # --- what must hold

    def check_payment(self, task: Task) -> None:
        """The invariant of money, at the moment at which the service bills."""
        self.totals.billed += 1
        self.accepted_in_attempt += 1
        if self.schedule.on_ambiguous == "fail":
            assert self.accepted_in_attempt == 1, "paid twice within an attempt that must not"
        live = [earlier for earlier in self.tasks() if earlier.is_live(task.accepted_at)]
        if live and not self.is_lost:
            self.totals.paid_twice += 1
            assert not self.is_decidable, "paid twice, although look-ups could have known"
            known = self.decision.receipt if self.decision else None
            is_known = known is not None and known.generation_id in [earlier.id for earlier in live]
            assert not is_known, "paid twice for what is remembered"
            assert any("paid twice" in line for line in self.log), "paid twice, and the log did not say so"

    def check_handed_on(self, done: Generation) -> None:
        """What is handed on has images, of this series, and of the generation that was paid for first."""
        if self.is_lost:
            return
        handed = next((task for task in self.tasks() if task.id == done.id), None)
        assert handed is not None, "handed on an image that had been given before"
        assert done.urls == (f"https://x/{handed.id}.png",)
        assert self.clock() < handed.done_at + LIFETIME, "handed on images that are gone"
        if self.is_decidable:
            alive = [task for task in self.tasks() if task.is_live(self.clock())]
            assert alive in ([handed], []), "paid for one and handed on another"

    @property
    def is_decidable(self) -> bool:
        """Whether one round of look-ups finds each task that the series has paid for."""
        return all(task.shown_after <= ROUND for task in self.tasks())

    def tasks(self) -> list[Task]:
        """Return the accepted tasks of the current series."""
        return self.service.ledger[self.series :]

    # --- what happens

    def run(self, start: Start) -> Generation | ApiError | None:
        """Run one attempt; return None if it was killed."""
        self.totals.attempts += 1
        self.accepted_in_attempt, self.step, self.start = 0, 0, None
        self.clock.now += start.gap
        if start.store == "emptied":
            self.task.store.kept.clear()
        if start.clear:
            self.clear(keeps_state=start.keeps_state)
        self.lose_what_is_lost(start)
        self.task.store.fails = {start.store} & {"get", "set"}
        self.start = start
        began, kept = self.clock(), dict(self.task.store.kept)
        try:
            done = self.attempt(start)
        except Killed:
            self.totals.killed += 1
            done = None
            if self.only_the_service_tells and (record := read_record(self.task.store.kept.get(KEY))):
                self.follow(record.series)  # it died after it had left the name of its series
        except ApiError as error:
            done = error
        finally:
            assert self.clock() - began <= MOST_SECONDS
        if isinstance(done, Generation):
            self.check_handed_on(done)
            self.totals.given += 1
        elif self.series > 0 and not self.task.xcoms and self.task.store.kept == kept:
            self.is_lost = True  # it ended before it could say that it began another series
        elif start.clear and self.task.store.kept == kept and self.is_noted_as_given(kept):
            # Only the keys of XComs told it that the task had died before its success, and it told nobody.
            self.is_lost = True
        return done

    def is_noted_as_given(self, kept: dict[str, object]) -> bool:
        """Whether the attempt before this one had noted that it handed its images on."""
        record = read_record(kept.get(KEY))
        return record is not None and record.given_by == self.task.try_number - 1

    def clear(self, *, keeps_state: bool) -> None:
        self.totals.cleared += 1
        was_given = self.is_given
        self.task.clear(running=False, keeps_state=keeps_state)
        self.only_the_service_tells = self.task.version.is_forgetful and not self.task.store.kept
        if was_given and self.schedule.on_clear == "new" and not self.only_the_service_tells:
            self.begin_series()

    def begin_series(self) -> None:
        self.series, self.log = len(self.service.ledger), []

    def follow(self, series: str) -> None:
        """Follow the decision of an attempt to which only the service could tell what was given."""
        if self.only_the_service_tells and series in self.begun:
            # The service knows nothing of the series after it, so the image before them is handed on again.
            is_told = self.schedule.knows_ids and self.is_decidable
            assert not (is_told and self.series > self.begun[series] and self.tasks()), "forgot what was paid"
            self.series = self.begun[series]
        elif self.only_the_service_tells and series != self.named:
            self.begin_series()
        self.only_the_service_tells, self.named = False, series
        self.begun[series] = self.series

    @property
    def is_given(self) -> bool:
        """Whether anything at all says that the images have been given, or nothing says anything."""
        if not self.only_the_store_tells:
            return "return_value" in self.task.xcoms
        if not self.schedule.version.has_store:
            return True
        record = read_record(self.task.store.kept.get(KEY))
        if record is None or not record.ends_in_triggerer or record.receipt is None:
            return record is not None and record.given_by == self.task.try_number
        task = next(task for task in self.service.ledger if task.id == record.receipt.generation_id)
        return not task.fails and task.done_at <= self.clock()

    def lose_what_is_lost(self, start: Start) -> None:
        """What followed a Clear is lost with an emptied store, if no XComs tell it."""
        nothing_is_told = self.only_the_store_tells or not self.task.xcoms
        was_cleared = self.task.max_tries > self.task.retries
        if was_cleared and start.store == "emptied" and nothing_is_told:
            self.is_lost = True

    @property
    def only_the_store_tells(self) -> bool:
        return not (self.schedule.version.tells_keys and self.schedule.pushes_xcoms)

    def attempt(self, start: Start) -> Generation:
        """Do what the operator does, with its own parts."""
        attempt = Attempt.begin(
            self.task.start(),
            self.task.memory(SILENT),
            durable=True,
            on_clear=self.schedule.on_clear,  # type: ignore[arg-type]
            is_completed=self.is_completed,
            was_given=self.was_given,
            log=SILENT,
        )
        decision = self.decision = attempt.decide(fingerprint(REQUEST, "c"))
        if decision.action is Action.REFUSE:
            raise ApiError(Kind.AMBIGUOUS, decision.notes[0])
        self.follow(decision.series)
        reconciler = Reconciler(
            request=REQUEST,
            business_id=attempt.identity(decision).business_id,
            fresh=decision.action is Action.SUBMIT,
            known=decision.receipt,
            on_ambiguous=self.schedule.on_ambiguous,  # type: ignore[arg-type]
            give_up_at=self.clock() + PATIENCE,
            clock=self.clock,
            report=self.log.append,
            note=self.log.append,
        )
        submission = self.drive(reconciler.submit())
        receipt = submission.receipt
        attempt.remember(
            receipt,
            fingerprint=decision.fingerprint or "",
            asked=None,
            ends_in_triggerer=start.in_triggerer,
        )
        self.task.push("generation_id", receipt.generation_id)
        wait = flows.wait(
            receipt.generation_id,
            pace=Pace(30.0),
            deadline=(receipt.submitted_at or 0.0) + WAIT_LIMIT,
            clock=self.clock,
        )
        try:
            done = self.drive(wait)
        except ApiError:
            self.task.memory(SILENT).amend(ends_in_triggerer=False)  # the worker that is resumed fails
            raise
        if not start.in_triggerer:
            self.task.memory(SILENT).amend(given_by=self.task.try_number)
        self.task.push("return_value", "a result")
        return done

    def is_completed(self, receipt: Receipt) -> bool:
        look = flows.look(
            receipt.generation_id, pace=Pace(5.0), deadline=self.clock() + PATIENCE, clock=self.clock
        )
        is_completed = self.drive(look).status == COMPLETED
        if is_completed and self.schedule.on_clear == "new":
            self.begin_series()  # its trigger may have given it unseen, even after the task was cleared
        return is_completed

    def was_given(self, identity: Identity) -> bool | None:
        flow = latest_of(
            identity.business_id,
            clock=self.clock,
            give_up_at=self.clock() + PATIENCE,
            report=self.log.append,
        )
        latest = self.drive(flow)
        return None if latest is None else latest.status == COMPLETED

    # --- the machinery

    def may_die(self) -> bool:
        """Count a step, and die at the one that is named; return whether to die after it instead."""
        self.step += 1
        assert self.step < MOST_STEPS, f"an attempt takes more than {MOST_STEPS} steps"
        if self.start is None or self.step != self.start.kill_at:
            return False
        if self.start.kill_late:
            return True
        raise Killed

    def drive(self, flow: Flow[T]) -> T:
        give: Callable[[], Send | Sleep] = lambda: next(flow)  # noqa: E731
        try:
            while True:
                try:
                    step = give()
                except StopIteration as end:
                    result: T = end.value
                    return result
                dies = self.may_die()
                give = self.perform(flow, step)
                if dies:
                    raise Killed
        finally:
            flow.close()

    def perform(self, flow: Flow[T], step: Send | Sleep) -> Callable[[], Send | Sleep]:
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


def play(schedule: Schedule, totals: Totals) -> None:
    world = World(schedule, totals)
    done: Generation | ApiError | None = None
    is_over = False
    for start in schedule.starts:
        # A task that succeeded, or failed without retries, only starts again after a Clear.
        if start.clear or not is_over:
            done = world.run(start)
            is_over = (isinstance(done, Generation) and not start.crash) or is_undecided(done)
    # From here on everything behaves, and the task has retries left.
    world.faults = iter(())
    well = Start(
        clear=False,
        keeps_state=False,
        gap=1_000.0,
        kill_at=0,
        kill_late=False,
        in_triggerer=False,
        store="fine",
        crash=False,
    )
    for _ in range(len(schedule.outcomes) + 3):
        if isinstance(done, Generation):
            return
        done = world.run(well._replace(clear=is_undecided(done)))
        if isinstance(done, ApiError):
            assert done.kind in (Kind.FAILED, Kind.TIMEOUT), f"nothing else can go wrong: {done!r}"
    assert isinstance(done, Generation), f"never handed on: {done!r}; {world.log}"


def is_undecided(done: Generation | ApiError | None) -> bool:
    """Whether the task failed without retries, so that only a Clear starts it again."""
    return isinstance(done, ApiError) and done.kind is Kind.UNDECIDED


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
        play(schedule, totals)

    try:
        with untraced():
            schedules()
    finally:
        totals.seconds = time.perf_counter() - began
        record_figures(
            f"fault schedules: {totals.schedules:,} in {totals.seconds:.1f} s (seed {SEED}); "
            f"{totals.attempts:,} attempts, {totals.killed:,} killed, {totals.cleared:,} Clears, "
            f"{totals.given:,} given, "
            f"{totals.requests:,} requests, {totals.billed:,} billed, {totals.paid_twice:,} of them "
            "twice where nobody can know"
        )
