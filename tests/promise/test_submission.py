"""Paying once: when a submission looks first, attaches, pays, pays again or refuses to."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.wire import Request
from airflow_provider_gptimg.payment.receipt import Receipt
from airflow_provider_gptimg.payment.submission import MAX_ORDINALS, Origin, Reconciler, Withdrawn, latest_of
from tests.support.driving import START, Answer, Clock, Story, drive, fault, no_answer, no_connection, reply

UNKNOWN = fault("task_not_found", 404)
POSTED = "/v1/images/generations"
NOT_FOUND = [UNKNOWN] * 5
"""All look-ups of one round, none of which finds anything."""


def task(status: str = "queued", ordinal: int = 1, **fields: Any) -> Answer:
    business_id = f"af-x-{ordinal}"
    body = {"id": f"task_{ordinal}", "status": status, "client_business_id": business_id, **fields}
    return reply({name: value for name, value in body.items() if value is not None})


def submitted(
    *answers: Answer,
    fresh: bool = True,
    on_ambiguous: Any = "resubmit",
    then: Answer | None = None,
    patience: float = 600.0,
    now: float = START,
    **more: Any,
) -> tuple[Story, list[str]]:
    clock, told = Clock(now), list[str]()
    reconciler = Reconciler(
        request=GenerationRequest.checked("a fox"),
        business_id=lambda ordinal: f"af-x-{ordinal}",
        fresh=fresh,
        on_ambiguous=on_ambiguous,
        give_up_at=now + patience,
        clock=clock,
        report=told.append,
        note=told.append,
        **more,
    )
    return drive(reconciler.submit(), answers, clock, then=then), told


def posts(story: Story) -> list[str]:
    """Return the business ids that were submitted, in order."""
    sent = [request for _, request in story.sent if request.method == "POST"]
    assert all(request.path == POSTED for request in sent)
    return [json.loads(request.body or b"")["client_business_id"] for request in sent]


def looked_up(story: Story) -> list[str]:
    return [path.removeprefix(f"{POSTED}/") for path in story.paths if path != POSTED]


def test_a_fresh_submission_goes_straight_away() -> None:
    story, told = submitted(task())
    assert (story.methods, story.slept, told) == (["POST"], [], [])
    assert posts(story) == ["af-x-1"]
    result = story.result
    assert (result.generation.id, result.client_business_id) == ("task_1", "af-x-1")
    assert (result.receipt.ordinal, result.receipt.submissions, result.origin) == (1, 1, Origin.SUBMITTED)
    assert result.receipt.submitted_at == START


def test_an_answer_that_is_already_final_is_taken() -> None:
    story, _ = submitted(task("completed", url="https://x/1"))
    assert story.result.generation.urls == ("https://x/1",)


def test_a_later_attempt_looks_several_times_over_seconds_before_it_pays() -> None:
    story, told = submitted(*NOT_FOUND, task(), fresh=False)
    assert story.methods == ["GET"] * 5 + ["POST"]
    assert looked_up(story) == ["af-x-1"] * 5
    assert story.times[0] == 0, "the usual case, where it is found, does not wait"
    assert story.times[-1] >= 10
    assert "paid twice" in told[-1], "what is risked is said"


@pytest.mark.parametrize("status", ["queued", "in_progress", "pending", "odd", "completed"])
@pytest.mark.parametrize("repeated", ["af-x-1", None], ids=["with its id", "without"])
def test_a_later_attempt_attaches_to_what_was_paid(status: str, repeated: str | None) -> None:
    found = task(status, created_at=START - 90, url="https://x/1", client_business_id=repeated)
    story, told = submitted(found, fresh=False)
    assert posts(story) == []
    assert (story.result.origin, story.result.generation.id) == (Origin.ATTACHED, "task_1")
    assert (story.result.receipt.submissions, story.result.receipt.submitted_at) == (1, START - 90)
    assert "not paying again" in told[-1]


@pytest.mark.parametrize("late", [1, 2, 3, 4])
def test_a_generation_that_becomes_visible_late_is_found(late: int) -> None:
    story, _ = submitted(*[UNKNOWN] * late, task(), fresh=False)
    assert (posts(story), story.result.generation.id) == ([], "task_1")
    assert story.times[-1] == [0, 1, 3, 7, 15][late]


DATE = "Mon, 21 Sep 2026 14:13:20 GMT"  # START
OVER = [
    reply({"id": "task_1", "status": "failed", "client_business_id": "af-x-1"}),
    task("completed", url="https://x/1", expires_at=START - 1),
    task("completed", url="https://x/1", expires_at=START),
    task("completed", url="https://x/1", completed_at=START - 86_401),
]


@pytest.mark.parametrize("over", OVER)
def test_after_a_failed_or_expired_one_the_next_ordinal_is_paid(over: Answer) -> None:
    story, told = submitted(over, *NOT_FOUND, task(ordinal=2), fresh=False)
    assert looked_up(story) == ["af-x-1"] + ["af-x-2"] * 5
    assert posts(story) == ["af-x-2"]
    assert (story.result.receipt.ordinal, story.result.receipt.submissions) == (2, 2)
    assert "submitting again" in told[0]


def test_the_next_ordinal_is_attached_to_as_well() -> None:
    story, _ = submitted(task("failed"), task("completed", 2, expires_at=1), task("queued", 3), fresh=False)
    assert (posts(story), story.result.receipt.ordinal) == ([], 3)


@pytest.mark.parametrize(("our_clock", "expired"), [(START - 9e5, True), (START + 9e5, False)])
def test_expiry_is_by_the_service_s_clock_where_it_shows_one(our_clock: float, expired: bool) -> None:
    expires_at = START - 1 if expired else START + 1
    body = {"id": "task_1", "status": "completed", "url": "https://x/1", "expires_at": expires_at}
    rest = [*NOT_FOUND, task(ordinal=2)] if expired else []
    story, _ = submitted(reply(body, date=DATE), *rest, fresh=False, now=our_clock)
    assert story.result.receipt.ordinal == (2 if expired else 1)


@pytest.mark.parametrize(
    "fields", [{"expires_at": START - 1}, {"expires_at": 0}, {"expires_at": "", "created_at": 0}]
)
def test_a_running_one_is_never_taken_for_expired(fields: dict[str, Any]) -> None:
    story, _ = submitted(task("in_progress", **fields), fresh=False)
    assert posts(story) == []
    assert story.result.receipt.submitted_at <= START
    if "created_at" in fields:
        assert story.result.receipt.submitted_at == START, "1970 would mean that its time limit is over"


NO_CLEAR_ANSWER = [
    no_answer,
    lambda: ApiError(Kind.MALFORMED, "broke off"),
    *(lambda status=status: fault("internal_error", status) for status in (500, 502, 504, 524, 408)),
    lambda: fault("service_unavailable", 503),
    lambda: reply(b"<html>", 503),
    lambda: reply(b"<html>"),
    lambda: reply(b""),
    lambda: reply(b'{"id": "ta'),
    lambda: reply([]),
    lambda: reply({}),
    lambda: reply({"status": "queued"}),
    lambda: reply(b"", 204),
]


@pytest.mark.parametrize("unclear", NO_CLEAR_ANSWER)
@pytest.mark.parametrize("late", [0, 2, 4])
def test_a_submission_without_a_clear_answer_is_looked_up(unclear: Any, late: int) -> None:
    story, told = submitted(unclear(), *[UNKNOWN] * late, task())
    assert story.methods == ["POST"] + ["GET"] * (late + 1)
    assert (story.result.origin, story.result.receipt.submissions) == (Origin.ATTACHED, 1)
    assert "may have been accepted" in told[0]


@pytest.mark.parametrize("unclear", NO_CLEAR_ANSWER)
def test_never_found_and_resubmitting_pays_again_and_says_so(unclear: Any) -> None:
    story, told = submitted(unclear(), *NOT_FOUND, task())
    assert posts(story) == ["af-x-1", "af-x-1"]
    assert (story.result.receipt.ordinal, story.result.receipt.submissions) == (1, 2)
    assert "paid twice" in told[-1]


def test_never_found_and_failing_does_not_pay_again() -> None:
    story, _ = submitted(no_answer(), *NOT_FOUND, on_ambiguous="fail")
    assert posts(story) == ["af-x-1"]
    assert story.kind is Kind.UNDECIDED
    assert "af-x-1" in str(story.error)


def test_resubmitting_ends() -> None:
    story, _ = submitted(*[no_answer(), *NOT_FOUND] * 3)
    assert (len(posts(story)), story.kind) == (3, Kind.AMBIGUOUS)


UNCLEAR_LOOK_UP = [
    no_answer,
    lambda: fault("internal_error", 500),
    lambda: fault("service_unavailable", 503),
    lambda: reply(b"<html>", 502),
    lambda: reply(b"<html>"),
    lambda: reply({}),
    lambda: reply(b"", 302, location="https://login.example"),
    lambda: fault(None, 409),
    lambda: reply(b"<html>", 407),
    lambda: fault("invalid_request", 400, "bad id"),
    lambda: fault("task_not_found", 400),
    lambda: reply({"error": {"code": "invalid_request", "message": "bad id"}}),
    lambda: reply({"success": False, "message": "bad id"}),
]


@pytest.mark.parametrize("unclear", UNCLEAR_LOOK_UP)
@pytest.mark.parametrize("before", [(), (no_answer(),)], ids=["a retry", "after a lost answer"])
def test_a_look_up_that_fails_never_means_not_there(unclear: Any, before: tuple[Answer, ...]) -> None:
    story, _ = submitted(*before, fresh=bool(before), then=lambda request, now: unclear())
    assert len(posts(story)) == len(before)
    assert story.kind is Kind.AMBIGUOUS
    assert "not paying again" in str(story.error)
    assert len(looked_up(story)) <= 10


@pytest.mark.parametrize("unclear", UNCLEAR_LOOK_UP)
@pytest.mark.parametrize("found", [True, False])
def test_after_failed_look_ups_a_clear_one_decides(unclear: Any, found: bool) -> None:
    rest = [task()] if found else [UNKNOWN, task()]
    story, _ = submitted(*[unclear() for _ in range(7)], *rest, fresh=False)
    assert posts(story) == ([] if found else ["af-x-1"])
    assert story.times[-1] >= 15


@pytest.mark.parametrize(
    "unknown",
    [UNKNOWN, fault("task_not_exist", 400, "任务不存在"), reply({"error": {"code": 404, "message": "x"}})],
)
@pytest.mark.parametrize("fresh", [True, False])
def test_a_service_without_business_ids_works(unknown: Answer, fresh: bool) -> None:
    looks = [] if fresh else [unknown] * 5
    story, _ = submitted(*looks, task(client_business_id=None), fresh=fresh)
    assert story.result.generation.id == "task_1"
    story, _ = submitted(*looks, no_answer(), *[unknown] * 5, task(client_business_id=None), fresh=fresh)
    assert (story.result.generation.id, story.result.receipt.submissions) == ("task_1", 2)


def test_another_task_is_not_attached_to() -> None:
    other = task(client_business_id="af-y-1\r\nFAKE LINE")
    story, told = submitted(*[other] * 5, task(), fresh=False)
    assert posts(story) == ["af-x-1"]
    assert "another task" in told[0]
    assert all(line.isprintable() for line in told)


@pytest.mark.parametrize("refusal", [fault("x", 429, retry_after="40"), fault("rate_limit_unavailable", 503)])
def test_a_slow_down_is_waited_out_without_a_look_up(refusal: Answer) -> None:
    story, _ = submitted(refusal, refusal, refusal, task())
    assert set(story.methods) == {"POST"}
    assert story.result.receipt.submissions == 1
    assert story.result.receipt.submitted_at == pytest.approx(story.times[-1] + START), (
        "the limit counts from the submission"
    )


def test_no_connection_is_tried_again_without_a_look_up() -> None:
    assert submitted(no_connection(), no_connection(), task())[0].methods == ["POST"] * 3


REFUSALS = [
    (fault("invalid_request", 400), Kind.BAD_REQUEST),
    (fault("unauthorized", 401), Kind.AUTHENTICATION),
    (fault("insufficient_quota", 402), Kind.QUOTA),
    (fault(None, 403), Kind.PERMISSION),
    (fault("content_policy_violation", 422), Kind.POLICY),
    (fault("model_not_found", 503), Kind.MODEL_UNAVAILABLE),
    (fault("x", 429, retry_after="601"), Kind.RATE_LIMITED),
    (reply({"error": {"code": "insufficient_quota", "message": "余额不足"}}), Kind.QUOTA),
    (reply({"error": {"message": "no"}}), Kind.BAD_REQUEST),
    (reply({"success": False, "message": "no"}), Kind.BAD_REQUEST),
]


@pytest.mark.parametrize(("refusal", "kind"), REFUSALS)
def test_a_refusal_is_raised_without_a_look_up(refusal: Answer, kind: Kind) -> None:
    story, told = submitted(refusal)
    assert (story.kind, story.methods, told) == (kind, ["POST"], [])


@pytest.mark.parametrize("refusal", [fault("unauthorized", 401), fault(None, 403)])
def test_a_refused_key_ends_the_look_ups(refusal: Answer) -> None:
    story, _ = submitted(refusal, fresh=False)
    assert (posts(story), len(story.sent)) == ([], 1)


@pytest.mark.parametrize("status", ["failed", "completed"])
def test_a_service_where_everything_is_over_does_not_keep_us_for_ever(status: str) -> None:
    ordinals = itertools.count(1)
    over = lambda *_: task(status, next(ordinals), expires_at=1)  # noqa: E731
    story, _ = submitted(then=over, fresh=False)
    assert (story.kind, posts(story), len(story.sent)) == (Kind.FAILED, [], MAX_ORDINALS)


@pytest.mark.parametrize(
    "answer", [no_answer, no_connection, lambda: UNKNOWN, lambda: fault("x", 429), lambda: reply({})]
)
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("patience", [0.0, 600.0])
def test_one_answer_for_ever_ends_in_bounded_time(answer: Any, fresh: bool, patience: float) -> None:
    story, _ = submitted(then=lambda request, now: answer(), fresh=fresh, patience=patience)
    assert story.error is not None
    assert len(story.sent) < 200
    assert sum(story.slept) < patience + 120


KNOWN = Receipt(generation_id="task_9", ordinal=2, submissions=3, submitted_at=START - 50)


def test_what_is_remembered_is_asked_for_first() -> None:
    found = reply({"id": "task_9", "status": "in_progress", "created_at": START - 9e5})
    story, _ = submitted(found, fresh=False, known=KNOWN)
    assert looked_up(story) == ["task_9"]
    result = story.result
    assert (result.origin, result.generation.id) == (Origin.ATTACHED, "task_9")
    assert result.receipt == KNOWN


def test_what_is_remembered_and_over_is_followed_by_the_next_ordinal() -> None:
    over = reply({"id": "task_9", "status": "failed"})
    story, _ = submitted(over, *NOT_FOUND, task(ordinal=3), fresh=False, known=KNOWN)
    assert posts(story) == ["af-x-3"]


@pytest.mark.parametrize("unclear", UNCLEAR_LOOK_UP)
def test_what_is_remembered_is_never_paid_again_because_a_look_up_failed(unclear: Any) -> None:
    # The service knows no business ids: only what is remembered tells that this was paid for.
    def answer(request: Request, now: float) -> Any:
        return unclear() if request.path.endswith("task_9") else UNKNOWN

    story, _ = submitted(then=answer, fresh=False, known=KNOWN)
    assert (story.kind, posts(story)) == (Kind.AMBIGUOUS, [])
    story, _ = submitted(unclear(), unclear(), reply({"id": "task_9"}), fresh=False, known=KNOWN)
    assert (posts(story), story.result.generation.id) == ([], "task_9")


def test_what_is_remembered_but_unknown_to_the_service_is_looked_up_by_business_id() -> None:
    story, told = submitted(*NOT_FOUND, task(ordinal=2), fresh=False, known=KNOWN)
    assert looked_up(story) == ["task_9"] * 5 + ["af-x-2"]
    assert (posts(story), story.result.generation.id) == ([], "task_2")
    assert "task_9 is recorded" in told[0]


@pytest.mark.parametrize("over", OVER[1:])
def test_expired_images_are_an_error_where_that_is_wanted(over: Answer) -> None:
    story, _ = submitted(over, fresh=False, on_expired="fail")
    assert (story.kind, posts(story)) == (Kind.EXPIRED, [])
    assert "task_1" in str(story.error)


@pytest.mark.parametrize("over", OVER)
def test_what_an_attempt_paid_for_and_left_goes_before_what_is_owned(over: Answer) -> None:
    story, _ = submitted(over, task("queued", 2), fresh=False, is_owned=lambda: True)
    assert (posts(story), story.result.receipt.ordinal) == ([], 2)
    with pytest.raises(Withdrawn):
        submitted(over, *NOT_FOUND, fresh=False, is_owned=lambda: True)


@pytest.mark.parametrize("over", OVER[1:])
def test_what_is_owned_goes_before_an_error(over: Answer) -> None:
    with pytest.raises(Withdrawn):
        submitted(over, fresh=False, on_expired="fail", is_owned=lambda: True)


REFUSED = [
    fault("insufficient_quota", 402),
    fault("unauthorized", 401),
    fault("content_policy_violation", 422),
    fault("rate_limit_exceeded", 429, retry_after="5000"),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refusal_says_nothing_of_the_lost_submission_before_it(refused: Answer) -> None:
    """It may even be why: the first one took the last of the balance."""
    story, _ = submitted(no_answer(), *NOT_FOUND, refused)
    assert posts(story) == ["af-x-1", "af-x-1"]
    assert story.kind is Kind.AMBIGUOUS
    assert "The next submission of af-x-1 was refused" in str(story.error)
    assert "A retry of the task looks again" in str(story.error)


@pytest.mark.parametrize(("on_ambiguous", "kind"), [("resubmit", Kind.AMBIGUOUS), ("fail", Kind.UNDECIDED)])
@pytest.mark.parametrize("denied", [fault(None, 403), fault("unauthorized", 401)])
def test_a_look_up_that_is_denied_leaves_the_question_open(
    denied: Answer, on_ambiguous: str, kind: Kind
) -> None:
    story, _ = submitted(no_answer(), denied, on_ambiguous=on_ambiguous)
    assert story.kind is kind
    assert "af-x-1 cannot be looked up" in str(story.error)


@pytest.mark.parametrize("odd", [fault("insufficient_quota", 402), fault("content_policy_violation", 422)])
def test_a_look_up_that_makes_no_sense_is_tried_again(odd: Answer) -> None:
    story, _ = submitted(odd, odd, task("completed", url="https://x/1"), fresh=False)
    assert (posts(story), story.result.generation.id) == ([], "task_1")


@pytest.mark.parametrize(
    ("answers", "asked", "surely"),
    [
        ([], [False], True),
        ([fault("rate_limit_exceeded", 429)], [True, False], True),
        ([no_answer(), *NOT_FOUND], [True, False], False),
    ],
)
def test_it_is_withdrawn_before_it_is_sent(answers: list[Answer], asked: list[bool], surely: bool) -> None:
    """And says whether anything may have been paid for."""
    told = iter(asked)
    with pytest.raises(Withdrawn) as info:
        submitted(*answers, may_submit=lambda: next(told))
    assert info.value.surely is surely
    assert next(told, None) is None


YOUNG = Receipt(generation_id="task_9", ordinal=1, submissions=1, submitted_at=START - 5)


def test_what_was_surely_submitted_a_moment_ago_is_not_paid_again_because_it_is_unknown() -> None:
    visible = lambda request, now: reply({"id": "task_9"}) if now >= START + 50 else UNKNOWN  # noqa: E731
    story, _ = submitted(then=visible, fresh=False, known=YOUNG)
    assert (posts(story), set(looked_up(story))) == ([], {"task_9"})
    assert story.result.generation.id == "task_9"


def test_a_minute_after_it_was_submitted_what_is_unknown_is_gone() -> None:
    def answer(request: Request, now: float) -> Any:
        return task() if request.method == "POST" else UNKNOWN

    story, told = submitted(then=answer, fresh=False, known=YOUNG)
    assert posts(story) == ["af-x-1"]
    assert "task_9 is recorded" in told[0]
    assert 55 <= [at for at, request in story.sent if "af-x" in request.path][0] <= 65  # noqa: RUF015


@pytest.mark.parametrize(
    ("answers", "latest"),
    [
        ([task()], "task_1"),
        ([OVER[0], task(ordinal=2)], "task_2"),
        ([OVER[1], task("completed", 2, url="https://x/2")], "task_2"),
        ([OVER[1], *NOT_FOUND], "task_1"),
        (NOT_FOUND, None),
    ],
    ids=["running", "after a failed one", "after an expired one", "expired", "none"],
)
def test_the_latest_of_an_identity_is_found(answers: list[Answer], latest: str | None) -> None:
    clock = Clock(START)
    flow = latest_of(
        lambda ordinal: f"af-x-{ordinal}", clock=clock, give_up_at=START + 600, report=lambda _: None
    )
    story = drive(flow, answers, clock)
    assert (story.result.id if story.result else None) == latest
