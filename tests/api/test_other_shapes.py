"""The shapes that the service, its samples and gateways of its family use besides the documented one.

One submission and one wait go through every shape: of a generation that is completed, and of one that fails.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.errors import Kind
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.payment.submission import Reconciler
from tests.support.driving import START, Answer, Clock, Story, drive, reply

URL = "https://files.example/1.png"
NOTHING = dict.fromkeys(
    ("progress", "completed_at", "expires_at", "result", "images", "url", "error", "fail_reason", "billing")
)
"""A service that writes null for what is absent."""


def shape(
    accepted: dict[str, Any], running: str = "in_progress", urls: dict[str, Any] | None = None, **more: Any
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return how a service answers: to a submission, its word for "running", and with what it ends."""
    begun = {"created_at": int(START), **accepted}
    return (
        begun,
        running,
        {**begun, **(urls or {"result": {"type": "image", "data": [{"url": URL}]}}), **more},
    )


DOCUMENTED = {"id": "task_img_1", "object": "generation.task", "model": "gpt-image-2", "status": "queued"}
SHAPES = {
    "documented": shape(DOCUMENTED, billing={"status": "settled", "credits": "3", "cost_usd": "0.015"}),
    "top-level url": shape(DOCUMENTED, urls={"url": URL}),
    "images": shape(DOCUMENTED, urls={"images": [{"url": URL}]}),
    "data as an object": shape(DOCUMENTED, urls={"result": {"data": {"url": URL}}}),
    "pending": shape({**DOCUMENTED, "status": "pending"}, "processing"),
    "submitted": shape({**DOCUMENTED, "status": "submitted"}, "submitted"),
    "tsk_img": shape({"id": "tsk_img_01JABC", "status": "queued"}),
    "img": shape({"id": "img_7f", "status": "queued"}),
    "a number as id": shape({"id": 8_412_333, "status": "queued"}),
    "null means absent": shape(
        {**NOTHING, **DOCUMENTED, "metadata": None}, urls={"result": {"data": [{"url": URL}]}, "images": None}
    ),
    "no times": shape({**DOCUMENTED, "created_at": None}),
    "upper case": shape({**DOCUMENTED, "status": "QUEUED"}, "IN_PROGRESS"),
}
IDS = [pytest.param(name, id=name) for name in SHAPES]


def told(*answers: Answer, then: Answer | None = None) -> Story:
    """Drive a submission, then a wait for what it gave."""
    clock = Clock()
    reconciler = Reconciler(
        request=GenerationRequest.checked("a fox"),
        business_id=lambda ordinal: f"af-x-{ordinal}",
        fresh=True,
        on_ambiguous="resubmit",
        give_up_at=START + 600,
        clock=clock,
        report=pytest.fail,
    )

    def both() -> flows.Flow[Any]:
        submission = yield from reconciler.submit()
        return (
            yield from flows.wait(
                submission.generation.id,
                pace=Pace(5.0),
                deadline=START + 1800,
                clock=clock,
                submitted_at=submission.receipt.submitted_at,
                on_unknown_status=pytest.fail,
            )
        )

    return drive(both(), answers, clock, then=then)


@pytest.mark.parametrize("name", IDS)
def test_a_generation_is_followed_to_its_images(name: str) -> None:
    accepted, running, ended = SHAPES[name]
    story = told(
        reply(accepted),
        reply({**accepted, "status": running, "progress": 40}),
        reply({**ended, "status": "completed", "progress": 100}),
    )
    assert story.result.urls == (URL,)
    assert story.methods == ["POST", "GET", "GET"]
    assert story.paths[-1].endswith(f"/{accepted['id']}")
    assert story.result.cost_usd == (0.015 if ended.get("billing") else None)


REASONS = [
    {"error": {"code": "generation_failed", "message": "上游错误"}},
    {"error": {"code": 500, "message": "上游错误"}},
    {"error": None, "fail_reason": "上游错误"},
    {"error": "上游错误"},
]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("reason", REASONS, ids=str)
def test_a_generation_that_fails_says_why(name: str, reason: dict[str, Any]) -> None:
    accepted, _, _ = SHAPES[name]
    refunded = {"billing": {"status": "refunded", "credits": "0", "cost_usd": "0"}}
    story = told(
        reply(accepted), reply({**accepted, "status": "failed", "progress": 0, **reason, **refunded})
    )
    assert story.kind is Kind.FAILED
    assert "上游错误" in str(story.error)


def envelopes(status: int, code: str, message: str) -> list[Answer]:
    """Return the same error as every service of the family writes it."""
    kind = {"message": message, "type": "x_error"}
    return [
        reply({"error": {**kind, "code": code}}, status),
        reply({"error": {**kind, "code": status}}, status),
        reply({"error": {**kind, "code": str(status)}}, status),
        reply({"error": {"code": code, "message": message, "param": None, "type": None}}, status),
        reply({"error": {"code": None, "message": message, "type": code}}, status),
        reply({"code": status, **kind}, status),
        reply({"code": code, "message": message, "data": None}, status),
        reply({"error": {**kind, "code": code}}),
        reply({"error": {**kind, "code": status}}),
        reply({"code": code, "message": message, "data": None}),
    ]


REFUSALS = [
    (400, "invalid_request", "参数错误", Kind.BAD_REQUEST),
    (401, "unauthorized", "无效的令牌", Kind.AUTHENTICATION),
    (402, "insufficient_quota", "余额不足", Kind.QUOTA),
    (422, "content_policy_violation", "内容违规", Kind.POLICY),
]
SPELLED = [
    pytest.param(answer, message, kind, id=f"{code} {number}")
    for status, code, message, kind in REFUSALS
    for number, answer in enumerate(envelopes(status, code, message))
]


@pytest.mark.parametrize(("answer", "message", "kind"), SPELLED)
def test_a_refused_submission_is_that_error_at_once(answer: Answer, message: str, kind: Kind) -> None:
    story = told(answer)
    assert (story.kind, story.methods) == (kind, ["POST"])
    assert message in str(story.error)


@pytest.mark.parametrize("unknown", envelopes(404, "task_not_found", "任务不存在"))
def test_a_task_that_is_unknown_is_that_in_every_spelling(unknown: Answer) -> None:
    accepted, _, ended = SHAPES["documented"]
    story = told(reply(accepted), unknown, unknown, reply({**ended, "status": "completed"}))
    assert story.result.urls == (URL,)
    story = told(reply(accepted), then=unknown)
    assert story.kind is Kind.NOT_FOUND
