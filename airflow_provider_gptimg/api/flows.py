"""The steps of using the service, without any I/O.

A flow is a generator. It yields :class:`Send` and :class:`Sleep`, is sent the reply to each request, and
returns its result. A driver does the I/O: the sync client of a worker, the async client of a trigger, or a
test with replies written by hand. So retries, waits and submissions are decided in one place, whichever way
a task waits.

If a request gets no answer, the driver throws :class:`ApiError` into the flow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_gptimg.api import refusals, wire
from airflow_provider_gptimg.api.errors import FINAL, ApiError, Kind
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.polling.rate_limit import BURST_SECONDS
from airflow_provider_gptimg.api.polling.schedule import Course
from airflow_provider_gptimg.api.wire import Reply, Request

Worth = Callable[[], float]


@dataclass(frozen=True)
class Send:
    """Send this request. The driver sends back its :class:`Reply`, or throws an ApiError.

    :param worth: returns how much it is worth to send it now, if calls compete for a rate limit.
    """

    request: Request
    worth: Worth | None = None


@dataclass(frozen=True)
class Sleep:
    """Do nothing for this number of seconds."""

    seconds: float


T = TypeVar("T")
Flow = Generator["Send | Sleep", "Reply | None", T]
Clock = Callable[[], float]
"""Returns Unix seconds. Deadlines outlive processes, so they are wall-clock times."""

CONNECT_ATTEMPTS = 4
"""How often to send one call if no connection can be made."""

MAX_BACKOFF = 30.0
"""Longest pause in seconds between two attempts of one call, unless the service asks for more."""

MAX_RATE_LIMIT_BACKOFF = BURST_SECONDS
"""The same after a 429. The service's bucket is full again after that time, so a longer sleep would waste
calls."""

MIN_PAUSE = 0.1
"""Shortest pause in seconds between two looks, so that an interval of 0 is no busy loop."""

ENDS_A_WAIT = frozenset({Kind.INVALID, Kind.AUTHENTICATION, Kind.PERMISSION, Kind.NOT_FOUND})
"""Errors that end a wait at once. Any other may pass, and the generation is paid for. So even a refusal that
would end a submission, such as 402, counts only as one failed look."""

POLL_FAILURES_TOLERATED = 5
"""How many status queries in a row may fail before a wait gives up (design: Trigger)."""

NOT_YET_SECONDS = 60.0
"""Seconds after our own accepted submission in which "unknown" means "not yet" (contract: Status)."""


def is_not_yet(error: ApiError, submitted_at: float | None, now: float) -> bool:
    """Return whether the service does not know a generation only because it is new.

    :param submitted_at: when we submitted it, in Unix seconds; None if that is not known.
    :param now: Unix seconds; the clocks of two workers may differ.
    """
    is_young = submitted_at is not None and abs(now - submitted_at) < NOT_YET_SECONDS
    return error.kind is Kind.NOT_FOUND and is_young


def call(
    request: Request,
    *,
    clock: Clock,
    give_up_at: float,
    attempts: int = CONNECT_ATTEMPTS,
    worth: Worth | None = None,
    before_send: Callable[[], None] = lambda: None,
) -> Flow[Reply]:
    """Send one request. Send it again as long as the service surely did not accept it.

    That is after connect errors (at most ``attempts`` times in total), and until ``give_up_at`` after 429
    and 503 ``rate_limit_unavailable``, which say "later", not "no" (contract: Errors).

    :param before_send: called each time before the request is sent. An error from it ends the flow.
    :raises ApiError: every other failure, at once.
    """
    attempt = unanswered = 0
    while True:
        attempt += 1
        before_send()
        try:
            reply = _reply(request, (yield Send(request, worth)))
            error = refusals.error_in(reply, now=clock())
            if error is None:
                return reply
        except ApiError as no_answer:
            error = no_answer
            unanswered += 1
        if not error.not_accepted or unanswered >= attempts:
            raise error
        longest = MAX_RATE_LIMIT_BACKOFF if error.kind is Kind.RATE_LIMITED else MAX_BACKOFF
        backoff = min(2.0 ** min(attempt - 1, 10), longest)
        delay = max(error.retry_after or 0.0, backoff) * random.uniform(1.0, 1.25)
        if clock() + delay > give_up_at:
            raise error
        yield Sleep(delay)


def _reply(request: Request, answer: Reply | None) -> Reply:
    if answer is None:
        raise TypeError(f"a driver must answer {request.method} {request.path} with a Reply")
    return answer


def query(
    generation_or_business_id: str, *, clock: Clock, give_up_at: float, attempts: int = 1
) -> Flow[Generation]:
    """Ask once for the status of a generation, by its own id or its business id.

    :raises ApiError: NOT_FOUND for an id that the service does not know; any other failure.
    """
    request = wire.status_query(generation_or_business_id)
    reply = yield from call(request, clock=clock, give_up_at=give_up_at, attempts=attempts)
    return wire.read_generation(reply)


@dataclass(frozen=True)
class Pace:
    """How long to wait between two looks at a generation.

    :param interval: seconds; the service advises 5 to 10 with jitter (contract: Status).
    :param exponential: double it from look to look, as Airflow's ``exponential_backoff`` does.
    :param max_wait: most seconds between two looks.
    """

    interval: float = 5.0
    exponential: bool = False
    max_wait: float | None = None

    @property
    def is_advisable(self) -> bool:
        """Whether a schedule may move the looks. It may not if the user sets more than the interval."""
        return not self.exponential and self.max_wait is None

    def pause(self, looks: int) -> float:
        """Return the seconds to sleep after ``looks`` looks."""
        pause = self.interval * random.uniform(0.9, 1.1)
        if self.exponential:
            # Like Airflow's BaseSensorOperator: half the interval after the first look, then doubled
            # from look to look, plus a jitter of up to 100 %.
            least = max(float(int(self.interval * 2.0 ** min(looks - 2, 60))), 1.0)
            pause = least * random.uniform(1.0, 2.0)
        return max(MIN_PAUSE, pause if self.max_wait is None else min(pause, self.max_wait))


def look(
    generation_id: str,
    *,
    pace: Pace,
    deadline: float,
    clock: Clock,
    submitted_at: float | None = None,
    worth: Worth | None = None,
    on_failed_look: Callable[[ApiError], None] = lambda error: None,
) -> Flow[Generation]:
    """Look at a generation until one look succeeds, tolerating a few failures in a row.

    :param submitted_at: when we submitted it, in Unix seconds, if that is known. For a minute after that, a
        generation that the service does not know counts as "not yet".
    :param on_failed_look: called for each failed look that is repeated.
    :raises ApiError: at once if another look cannot help (401, 403, 404); after too many failures in a
        row; or TIMEOUT if the last look at the deadline failed too.
    """
    failures = 0
    while True:
        try:
            request = wire.status_query(generation_id)
            reply = yield from call(request, clock=clock, give_up_at=deadline, attempts=1, worth=worth)
            return wire.read_generation(reply, asked_id=generation_id)
        except ApiError as error:
            error.about(generation_id)
            is_early = is_not_yet(error, submitted_at, clock())
            if error.kind in ENDS_A_WAIT and not is_early:
                raise
            failures += not is_early
            if clock() >= deadline:
                raise _timeout(
                    generation_id, f"the last status query failed: {error.message.rstrip('.')}"
                ) from error
            if failures > POLL_FAILURES_TOLERATED:
                error.message = f"{failures} status queries in a row failed. The last error: {error.message}"
                if error.kind in FINAL:
                    error.kind = Kind.UNAVAILABLE  # about a look, not the submission: a retry may help
                raise
            pause = max(pace.pause(max(1, failures)), error.retry_after or 0.0)
            on_failed_look(error)
        yield Sleep(_until(deadline, pause, clock))


def wait(
    generation_id: str,
    *,
    pace: Pace,
    deadline: float,
    clock: Clock,
    first_look_after: float | None = None,
    submitted_at: float | None = None,
    course: Course | None = None,
    on_unknown_status: Callable[[str], None] = lambda status: None,
    on_failed_look: Callable[[ApiError], None] = lambda error: None,
) -> Flow[Generation]:
    """Wait until a generation is completed, and return it with its images.

    :param deadline: Unix seconds; there is one last look then.
    :param first_look_after: seconds before the first look; by default the course or the pace decides.
    :param submitted_at: as for :func:`look`.
    :param course: what is known about such generations. If it has advice, that replaces the pace.
    :param on_unknown_status: called once for each status that is not in the contract; it means "running".
    :param on_failed_look: as for :func:`look`.
    :raises ApiError: FAILED, NO_IMAGES, TIMEOUT, and what :func:`look` raises.
    """
    looks, unknown = 0, set()
    pause = _pause(pace, course, 1) if first_look_after is None else first_look_after
    while True:
        yield Sleep(_until(deadline, pause, clock))
        generation = yield from look(
            generation_id,
            pace=pace,
            deadline=deadline,
            clock=clock,
            submitted_at=submitted_at,
            worth=course.worth if course else None,
            on_failed_look=on_failed_look,
        )
        looks += 1
        if course:
            course.saw(generation)
        if generation.is_final:
            return generation.completed()
        if generation.is_unknown and generation.status not in unknown:
            unknown.add(generation.status)
            on_unknown_status(generation.status)
        if clock() >= deadline:
            raise _timeout(generation_id, f"its status is still {generation.status!r}")
        pause = _pause(pace, course, looks)


def _pause(pace: Pace, course: Course | None, looks: int) -> float:
    advised = course.pause() if course else None
    return pace.pause(looks) if advised is None else max(MIN_PAUSE, advised)


def _until(deadline: float, pause: float, clock: Clock) -> float:
    return max(0.0, min(pause, deadline - clock()))


def _timeout(generation_id: str, last_seen: str) -> ApiError:
    return ApiError(
        Kind.TIMEOUT,
        f"The time limit for the generation is over; {last_seen}.",
        generation_id=generation_id,
    )
