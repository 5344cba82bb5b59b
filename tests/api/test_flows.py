"""Calls and waits, step by step: when they look, when they sleep, when they give up and what they say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from airflow_provider_gptimg.api import flows, wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Pace, Send, Sleep
from airflow_provider_gptimg.api.polling.prior import prior_of
from airflow_provider_gptimg.api.polling.schedule import Course, Schedule
from tests.support.driving import START, Answer, Clock, Story, drive, fault, no_answer, no_connection, reply

RUNNING = reply({"id": "task_1", "status": "in_progress"})
URL = "https://x/1.png"
DONE = reply({"id": "task_1", "status": "completed", "url": URL})
SLOW_DOWN = fault("rate_limit_exceeded", 429)
LATER = fault("rate_limit_unavailable", 503)


# --- one call


def called(*answers: Answer, then: Answer | None = None, patience: float = 600.0, attempts: int = 4) -> Story:
    clock = Clock()
    request = wire.Request("POST", "/v1/images/generations", body=b"{}", category="submit")
    return drive(
        flows.call(request, clock=clock, give_up_at=START + patience, attempts=attempts),
        answers,
        clock,
        then=then,
    )


NOT_ACCEPTED = [no_connection, lambda: SLOW_DOWN, lambda: LATER]


@pytest.mark.parametrize("failure", NOT_ACCEPTED, ids=["no connection", "429", "503 later"])
@pytest.mark.parametrize("times", [1, 3])
def test_what_was_surely_not_accepted_is_sent_again(failure: Any, times: int) -> None:
    story = called(*(failure() for _ in range(times)), RUNNING)
    assert story.result is RUNNING
    assert len(story.sent) == times + 1
    assert len({request for _, request in story.sent}) == 1
    for attempt, pause in enumerate(story.slept):
        assert 2**attempt <= pause <= 2**attempt * 1.25


MAYBE_ACCEPTED = [
    no_answer(),
    ApiError(Kind.MALFORMED, "broke off"),
    *(fault("internal_error", status) for status in (500, 502, 504, 520, 408)),
    fault("service_unavailable", 503),
    reply(b"<html>", 503),
    *(fault("x", status) for status in (400, 401, 402, 403, 404, 413, 422)),
    fault("model_not_found", 503),
    reply(b"", 302),
]


@pytest.mark.parametrize("failure", MAYBE_ACCEPTED, ids=str)
def test_whatever_else_fails_is_sent_once(failure: Answer) -> None:
    story = called(failure)
    assert story.error is not None
    assert not story.error.not_accepted
    assert (len(story.sent), story.slept) == (1, [])


def test_connections_that_fail_are_tried_so_many_times() -> None:
    story = called(*(no_connection() for _ in range(4)))
    assert story.kind is Kind.UNREACHABLE
    assert len(story.sent) == 4


def test_slow_downs_do_not_use_up_the_attempts_to_connect() -> None:
    story = called(*[SLOW_DOWN] * 5, no_connection(), RUNNING)
    assert story.result is RUNNING


def test_slow_downs_are_waited_out_until_patience_ends() -> None:
    story = called(then=SLOW_DOWN)
    assert story.kind is Kind.RATE_LIMITED
    assert 540 < sum(story.slept) <= 600
    assert all(pause <= flows.MAX_BACKOFF * 1.25 for pause in story.slept)


def test_a_day_of_slow_downs_is_survived() -> None:
    clock = Clock()
    flow = flows.call(wire.balance(), clock=clock, give_up_at=START + 86_400)
    story = drive(flow, [*[SLOW_DOWN] * 2_000, RUNNING], clock)
    assert story.result is RUNNING


@pytest.mark.parametrize(
    ("header", "least"), [("7", 7), ("Mon, 21 Sep 2026 14:13:41 GMT", 21), ("soon", 1), ("-3", 1), ("0", 1)]
)
@pytest.mark.parametrize("refusal", ["rate_limit_exceeded", "rate_limit_unavailable"])
def test_retry_after_is_obeyed(header: str, least: float, refusal: str) -> None:
    status = 429 if refusal == "rate_limit_exceeded" else 503
    story = called(fault(refusal, status, retry_after=header), RUNNING)
    assert least <= story.slept[0] <= least * 1.25


@pytest.mark.parametrize("header", ["601", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_beyond_patience_is_raised_at_once(header: str) -> None:
    story = called(fault("rate_limit_exceeded", 429, retry_after=header))
    assert (story.kind, story.slept) == (Kind.RATE_LIMITED, [])


# --- a wait


def waited(
    *answers: Answer,
    then: Answer | None = None,
    limit: float = 1800.0,
    took: float = 0.0,
    pace: Pace | None = None,
    **options: Any,
) -> Story:
    clock = Clock()
    flow = flows.wait("task_1", pace=pace or Pace(5.0), deadline=START + limit, clock=clock, **options)
    return drive(flow, answers, clock, then=then, took=took)


def gaps(story: Story) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise([0.0, *story.times])]


def test_looks_come_at_the_interval_with_jitter() -> None:
    story = waited(*[RUNNING] * 50, DONE)
    assert story.result.urls == (URL,)
    assert set(story.paths) == {"/v1/images/generations/task_1"}
    assert set(story.methods) == {"GET"}
    assert all(4.5 <= gap <= 5.5 for gap in gaps(story))
    assert len(set(gaps(story))) > 40, "no two waits in step"


@pytest.mark.parametrize("first", [0.0, 3.0, 60.0])
def test_the_first_look_can_be_told_when(first: float) -> None:
    story = waited(RUNNING, DONE, first_look_after=first)
    assert story.times[0] == first
    assert 4.5 <= gaps(story)[1] <= 5.5


def test_an_interval_of_nothing_is_no_busy_loop() -> None:
    assert min(waited(*[RUNNING] * 20, DONE, pace=Pace(0.0)).slept) >= flows.MIN_PAUSE


def test_exponential_pauses_double_up_to_their_maximum() -> None:
    # As Airflow's sensors: half of the interval at first, doubling, and up to as much again as jitter.
    story = waited(*[RUNNING] * 9, DONE, pace=Pace(8.0, exponential=True, max_wait=60.0), limit=9e5)
    for look, gap in enumerate(gaps(story)[1:]):
        assert min(4 * 2**look, 60) - 1e-3 <= gap <= min(8 * 2**look, 60) + 1e-3


def experienced() -> Schedule:
    """Return a schedule that has seen 40 generations finish between 18 and 22 seconds."""
    schedule = Schedule(prior_of("1K", 1))
    for number in range(40):
        schedule.learn(0.0, 18.0 + number / 10, "completed")
    return schedule


def test_a_learned_schedule_goes_before_the_pace_and_keeps_learning() -> None:
    schedule, clock = experienced(), Clock()
    course = Course(schedule, 5.0, clock)
    flow = flows.wait("task_1", pace=Pace(5.0), deadline=START + 99, clock=clock, course=course)
    running = lambda request, now: DONE if now >= START + 20.3 else RUNNING  # noqa: E731
    story = drive(flow, [], clock, then=running)
    assert story.times[0] > 9, "no look before anything can be done"
    assert max(gaps(story)[2:]) < 6 and story.times[-1] - 20.3 < 3  # noqa: PT018
    assert schedule._table.finishes == 41


def test_a_look_says_what_it_is_worth() -> None:
    clock = Clock()
    course = Course(experienced(), 5.0, clock)
    flow = flows.wait("task_1", pace=Pace(5.0), deadline=START + 99, clock=clock, course=course)
    assert isinstance(next(flow), Sleep)
    clock.now += 20.0
    send = flow.send(None)
    assert isinstance(send, Send)
    assert send.worth
    assert send.worth() > 0.5
    assert isinstance(flow.send(RUNNING), Sleep)
    assert send.worth() == 0.0


@pytest.mark.parametrize("limit", [0.0, -5000.0, 2.0, 20.0, 333.3])
def test_the_last_look_is_at_the_deadline(limit: float) -> None:
    story = waited(then=RUNNING, limit=limit)
    assert story.kind is Kind.TIMEOUT
    assert story.times[-1] == pytest.approx(max(limit, 0.0), abs=1e-3)
    assert story.times.count(story.times[-1]) == 1
    assert "still 'in_progress'" in str(story.error)


@pytest.mark.parametrize("limit", [0.0, 20.0])
def test_a_last_look_that_finds_it_done_is_in_time(limit: float) -> None:
    story = waited(then=lambda request, now: DONE if now >= START + limit else RUNNING, limit=limit)
    assert story.result.urls == (URL,)


def test_an_unknown_status_is_running_and_reported_once() -> None:
    told: list[str] = []
    strange = [
        reply({"id": "task_1", "status": name}) for name in ("paused", "Paused", "queued", "odd", "paused")
    ]
    story = waited(*strange, DONE, on_unknown_status=told.append)
    assert story.result.urls == (URL,)
    assert told == ["paused", "odd"]


FAILED_LOOKS = [
    no_answer,
    no_connection,
    lambda: fault("internal_error", 500),
    lambda: fault("service_unavailable", 503),
    lambda: reply(b"<html>", 502),
    lambda: reply(b"<html>"),
    lambda: reply(b""),
    lambda: reply([]),
    lambda: reply({}),
    lambda: reply({"error": {"message": "no database"}}),
    lambda: reply({"id": {"status": "completed"}}),
    lambda: ApiError(Kind.MALFORMED, "broke off"),
    lambda: fault(None, 408),
]


@pytest.mark.parametrize("failure", FAILED_LOOKS)
def test_five_failures_in_a_row_are_tolerated_and_the_sixth_is_not(failure: Any) -> None:
    five = [failure() for _ in range(5)]
    assert waited(*five, DONE).result.urls == (URL,)
    story = waited(*five, failure())
    assert story.error is not None
    assert "6 status queries in a row failed" in str(story.error)
    assert "[generation task_1: accepted and billed" in str(story.error)
    assert all(4.5 <= gap <= 5.5 for gap in gaps(story)), "a failed look is no reason to look sooner"


def test_a_success_forgives_the_failures_before_it() -> None:
    failures = [no_answer() for _ in range(15)]
    story = waited(*failures[:5], RUNNING, *failures[5:10], RUNNING, *failures[10:], DONE)
    assert story.result.urls == (URL,)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (fault("unauthorized", 401), Kind.AUTHENTICATION),
        (fault(None, 403), Kind.PERMISSION),
        (fault("task_not_found", 404), Kind.NOT_FOUND),
    ],
)
def test_what_no_further_look_can_mend_ends_a_wait_at_once(answer: Answer, kind: Kind) -> None:
    story = waited(RUNNING, answer)
    assert story.kind is kind
    assert "[generation task_1" in str(story.error)


UNKNOWN = [
    fault("task_not_found", 404),
    fault("task_not_exist", 400),
    reply({"code": 404, "message": "no such task", "type": "not_found_error"}, 404),
    reply({"error": {"code": 404, "message": "no such task"}}),
]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_for_a_minute_after_our_submission_unknown_means_not_yet(unknown: Answer) -> None:
    story = waited(*[unknown] * 10, DONE, submitted_at=START)
    assert story.result.urls == (URL,), "and it is none of the failures that are counted"
    assert all(4.5 <= gap <= 5.5 for gap in gaps(story))
    story = waited(then=unknown, submitted_at=START)
    assert story.kind is Kind.NOT_FOUND
    assert 60.0 <= story.times[-1] <= 66.0
    story = waited(unknown, submitted_at=START - 60)
    assert (story.kind, len(story.sent)) == (Kind.NOT_FOUND, 1)


def test_not_yet_does_not_count_as_a_failure_among_others() -> None:
    others = [answer for _ in range(5) for answer in (UNKNOWN[0], no_answer())]
    assert waited(*others, DONE, submitted_at=START).result.urls == (URL,)


def test_a_generation_that_is_unknown_at_the_deadline_is_a_timeout() -> None:
    story = waited(then=UNKNOWN[0], submitted_at=START, limit=20.0)
    assert story.kind is Kind.TIMEOUT
    assert "the last status query failed: The service answered 404" in str(story.error)


@pytest.mark.parametrize("ahead", [30.0, 1e6])
def test_a_clock_that_is_ahead_gives_no_endless_patience(ahead: float) -> None:
    story = waited(then=UNKNOWN[0], submitted_at=START + ahead)
    assert story.kind is Kind.NOT_FOUND
    assert story.times[-1] <= 100


def test_a_single_look_waits_for_what_is_not_there_yet() -> None:
    clock = Clock()
    flow = flows.look("task_1", pace=Pace(5.0), deadline=START + 60, clock=clock, submitted_at=START)
    assert drive(flow, [UNKNOWN[0], UNKNOWN[0], RUNNING], clock).result.id == "task_1"


def test_slow_downs_never_end_a_wait() -> None:
    story = waited(*[fault("rate_limit_exceeded", 429, retry_after="9")] * 40, DONE)
    assert story.result.urls == (URL,)
    assert all(9 <= pause <= 60 for pause in story.slept[1:])


@pytest.mark.parametrize(
    "refusal",
    [
        fault("rate_limit_exceeded", 429, retry_after="99999"),
        fault("rate_limit_unavailable", 503, retry_after="99999"),
        fault("internal_error", 500, retry_after="99999"),
    ],
)
def test_a_slow_down_beyond_the_deadline_still_gets_the_last_look(refusal: Answer) -> None:
    story = waited(RUNNING, refusal, DONE, limit=60.0)
    assert story.result.urls == (URL,)
    assert story.times[-1] == pytest.approx(60.0)


@pytest.mark.parametrize(
    "failure",
    [no_answer, lambda: fault("internal_error", 500), lambda: SLOW_DOWN, lambda: reply(b"<html>")],
)
def test_a_last_look_that_fails_is_a_timeout_that_says_why(failure: Any) -> None:
    story = waited(then=lambda request, now: failure() if now >= START + 20 else RUNNING, limit=20.0)
    assert story.kind is Kind.TIMEOUT
    assert "the last status query failed" in str(story.error)


def test_slow_requests_do_not_carry_a_wait_past_its_end() -> None:
    story = waited(then=RUNNING, limit=60.0, took=29.0)
    assert story.kind is Kind.TIMEOUT
    assert story.times[-1] <= 60.0


ENDS = [
    ((reply({"id": "task_1", "status": "failed", "fail_reason": "why"}),), Kind.FAILED, "refunds"),
    ((reply({"id": "task_1", "status": "completed"}),), Kind.NO_IMAGES, "accepted and billed"),
    ((fault("unauthorized", 401),), Kind.AUTHENTICATION, "accepted and billed"),
    ((fault("unauthorized", 401),), Kind.AUTHENTICATION, "GptImgDownloadOperator can fetch its images"),
    ((fault("internal_error", 500),) * 6, Kind.UNAVAILABLE, "accepted and billed"),
    ((fault("insufficient_quota", 402),) * 6, Kind.UNAVAILABLE, "402"),  # of a look: a retry may help
]


@pytest.mark.parametrize(("answers", "kind", "fate"), ENDS)
def test_every_end_after_submission_names_the_generation_and_its_fate(
    answers: tuple[Answer, ...], kind: Kind, fate: str
) -> None:
    story = waited(*answers)
    assert story.kind is kind
    assert story.error is not None
    assert story.error.generation_id == "task_1"
    assert "generation task_1: accepted" in str(story.error)
    assert fate in str(story.error)
    if kind is not Kind.FAILED:
        assert "24 hours" in str(story.error)


def test_a_hostile_id_cannot_lead_a_wait_elsewhere() -> None:
    clock = Clock()
    story = drive(flows.wait("..", pace=Pace(), deadline=START, clock=clock), [], clock)
    assert (story.kind, story.sent) == (Kind.INVALID, [])


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_query_reads_one_answer(attempts: int) -> None:
    clock = Clock()
    failures = [no_connection() for _ in range(attempts - 1)]
    flow = flows.query("af-x-1", clock=clock, give_up_at=START + 60, attempts=attempts)
    assert drive(flow, [*failures, RUNNING], clock).result.id == "task_1"


def test_a_driver_that_gives_no_reply_is_told_so() -> None:
    flow = flows.query("x", clock=Clock(), give_up_at=START)
    next(flow)
    with pytest.raises(TypeError, match="a driver must answer GET"):
        flow.send(None)
