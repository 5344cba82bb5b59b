"""What an answer says of a generation, in every shape that is documented or has been seen."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import MAX_URLS, Generation
from tests.support.driving import START, reply

DOCUMENTED = {
    "id": "task_img_1",
    "object": "generation.task",
    "model": "gpt-image-2",
    "status": "completed",
    "progress": 100,
    "created_at": int(START) - 30,
    "completed_at": int(START),
    "expires_at": int(START) + 86_400,
    "metadata": {},
    "result": {"type": "image", "data": [{"url": "https://x/1.png"}, {"url": "https://x/2.png"}]},
}


def read(body: Any, **headers: str) -> Generation:
    return wire.read_generation(reply(body, **headers))


def test_the_documented_answer_is_read_whole() -> None:
    assert read(DOCUMENTED, date="Mon, 21 Sep 2026 14:13:20 GMT") == Generation(
        id="task_img_1",
        status="completed",
        model="gpt-image-2",
        progress=100,
        created_at=START - 30,
        completed_at=START,
        expires_at=START + 86_400,
        answered_at=START,
        urls=("https://x/1.png", "https://x/2.png"),
    )


URL = "https://x/1.png"


@pytest.mark.parametrize(
    "shape",
    [
        {"result": {"type": "image", "data": [{"url": URL}]}},
        {"result": {"data": {"url": URL}}},
        {"images": [{"url": URL}]},
        {"url": URL},
        {"result": None, "images": [{"url": URL}]},
        {"result": {"data": []}, "images": [{"url": URL}], "url": "https://x/other.png"},
        {"result": {"data": [{"b64_json": "AA"}, {"url": URL}, {"url": None}, None, 7]}},
        {"result": {"data": [{"url": "javascript:alert(1)"}, {"url": "file:///etc/passwd"}, {"url": URL}]}},
        {"result": {"data": [{"url": "  https://x/1.png\n"}]}},
        {"url": "HTTPS://x/1.png"},
        {"images": [" Https://x/1.png"]},
        {"result": {"data": [{"url": "https://"}, {"url": URL}]}},
        {"result": {"data": [{"url": "https://x/\ud800"}, {"url": "https://x/a\nb"}, {"url": URL}]}},
    ],
    ids=str,
)
def test_urls_are_found_in_every_shape(shape: dict[str, Any]) -> None:
    generation = read({"id": "a", "status": "completed", **shape})
    assert generation.completed().urls == (URL,)


@pytest.mark.parametrize(
    "shape",
    [{}, {"result": {}}, {"result": []}, {"images": "none"}, {"url": ""}, {"url": {"url": 5}}],
    ids=str,
)
def test_completed_without_a_url_is_said_as_such(shape: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        read({"id": "a", "status": "completed", **shape}).completed()
    assert caught.value.kind is Kind.NO_IMAGES
    assert "generation a" in str(caught.value)


def test_ten_thousand_urls_are_an_error() -> None:
    many = [{"url": f"https://x/{i}"} for i in range(10_000)]
    assert len(read({"id": "a", "result": {"data": many[:MAX_URLS]}}).urls) == MAX_URLS
    with pytest.raises(ApiError, match="10000 image URLs") as caught:
        read({"id": "a", "result": {"data": many}})
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    ("status", "known", "final"),
    [
        *((name, True, False) for name in ("queued", "in_progress", "pending", "submitted", "processing")),
        *((name, True, True) for name in ("completed", "failed", "COMPLETED", " Failed ")),
        *((name, False, False) for name in ("paused", "cancelled", "succeeded", "complete", "完成")),
    ],
)
def test_only_the_two_final_statuses_end_a_wait(status: str, known: bool, final: bool) -> None:
    generation = read({"id": "a", "status": status})
    assert (not generation.is_unknown, generation.is_final) == (known, final)


@pytest.mark.parametrize("status", [None, "", "  ", 3, True, ["completed"], {"completed": True}])
def test_a_missing_status_is_a_running_one(status: object) -> None:
    generation = read({"id": "a", "status": status})
    assert not generation.is_final
    assert not generation.is_unknown


def test_an_unknown_status_is_kept_short_and_printable() -> None:
    generation = read({"id": "a", "status": "new\r\nFAKE LOG LINE\x1b[0m" + "x" * 1_000_000})
    assert generation.is_unknown
    assert generation.status.isprintable()
    assert len(generation.status) < 100


@pytest.mark.parametrize(
    ("given", "progress"),
    [(0, 0), (42, 42), (42.9, 42), (100, 100), (250, 100), ("42", 42)]
    + [(bad, None) for bad in (-1, "42%", None, True, [4], {}, float("nan"), float("inf"), 10**400)],
)
def test_progress_is_a_percentage_or_unknown(given: object, progress: int | None) -> None:
    assert read({"id": "a", "progress": given}).progress == progress


@pytest.mark.parametrize("name", ["created_at", "completed_at", "expires_at"])
@pytest.mark.parametrize(
    "given", [0, "", -1, None, True, "2026-09-21", [1], {}, float("nan"), 10**400, START * 1000], ids=repr
)
def test_a_time_that_is_none_is_not_known(name: str, given: object) -> None:
    assert getattr(read({"id": "a", name: given}), name) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"code": "generation_failed", "message": "upstream"}}, "generation_failed: upstream"),
        ({"error": {"message": "only this"}}, "only this"),
        ({"error": "as text"}, "as text"),
        ({"fail_reason": "seen"}, "seen"),
        ({"error": {"code": "c", "message": "same"}, "fail_reason": "same"}, "c: same"),
        ({"error": {"code": 7, "message": ["odd"]}}, "7: ['odd']"),
        ({"error": {"message": "违规\x00\n内容" + "x" * 1_000_000}}, "违规 内容" + "x" * 195),
        ({"error": None}, "it gave no reason"),
        ({}, "it gave no reason"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_failure_tells_the_service_s_reason_and_that_it_is_refunded(body: Any, reason: str) -> None:
    with pytest.raises(ApiError) as caught:
        read({"id": "task_9", "status": "failed", **body}).completed()
    assert caught.value.kind is Kind.FAILED
    assert str(caught.value) == (
        f"The service could not make the image: {reason}. "
        "[generation task_9: accepted, failed at the service, which refunds it]"
    )


@pytest.mark.parametrize(
    "bad",
    [None, "", True, False, [], {}, 1.5, "x" * 10_000, "a\nb", "a\x00", "\ud800", ["task_1"]],
    ids=lambda v: repr(v)[:20],
)
def test_without_an_id_there_is_no_generation(bad: object) -> None:
    with pytest.raises(ApiError) as caught:
        read({"id": bad, "status": "queued"})
    assert caught.value.kind is Kind.MALFORMED
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("given", "read_as"), [("tsk_img_1", "tsk_img_1"), (12, "12"), ("../图 x", "../图 x")]
)
def test_an_id_is_opaque(given: object, read_as: str) -> None:
    assert read({"id": given}).id == read_as


def test_a_status_answer_without_an_id_is_about_what_was_asked() -> None:
    answer = reply({"status": "completed", "url": URL})
    assert wire.read_generation(answer, asked_id="task_1").id == "task_1"


# Expiry: only of a completed one, by the service's own clock where it shows one.
NOW = START
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"
DONE = {"id": "a", "status": "completed", "url": URL}


@pytest.mark.parametrize(
    ("body", "now", "headers", "expired"),
    [
        ({"expires_at": NOW + 1}, NOW, {}, False),
        ({"expires_at": NOW}, NOW, {}, True),
        ({"expires_at": NOW + 1}, NOW + 9e5, {"date": DATE}, False),
        ({"expires_at": NOW - 1}, NOW - 9e5, {"date": DATE}, True),
        ({}, NOW, {}, False),
        ({"expires_at": 0}, NOW, {}, False),
        ({"completed_at": NOW - 86_399}, NOW, {}, False),
        ({"completed_at": NOW - 86_400}, NOW, {}, True),
        ({"completed_at": NOW - 86_400, "expires_at": NOW + 1}, NOW, {}, False),
        # Before it was made, or a number with another meaning: no expiry, so 24 hours.
        ({"completed_at": NOW - 60, "expires_at": NOW - 61}, NOW, {}, False),
        ({"completed_at": NOW - 60, "expires_at": 86_400}, NOW, {}, False),
        ({"created_at": NOW - 60, "expires_at": NOW - 61}, NOW, {}, False),
        ({"completed_at": NOW - 86_400, "expires_at": 86_400}, NOW, {}, True),
        ({"status": "in_progress", "expires_at": NOW - 1}, NOW, {}, False),
        ({"status": "failed", "expires_at": NOW - 1}, NOW, {}, False),
    ],
    ids=str,
)
def test_images_expire_after_their_time(
    body: dict[str, Any], now: float, headers: dict[str, str], expired: bool
) -> None:
    assert read({**DONE, **body}, **headers).is_expired(now) == expired


@pytest.mark.parametrize(
    ("created_at", "headers", "age"),
    [
        (NOW - 30, {}, 130.0),
        (NOW - 30, {"date": DATE}, 30.0),
        (NOW + 500, {}, 0.0),
        (None, {}, 0.0),
        (0, {}, 0.0),
    ],
)
def test_age_is_by_the_service_s_clock(created_at: object, headers: dict[str, str], age: float) -> None:
    assert read({**DONE, "created_at": created_at}, **headers).age(NOW + 100) == age


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b'{"id": "a"', b"null", b"[]", b'"a"', b"7", b"[" * 100_000, b"\xff", b"NaN"],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_object_is_malformed_and_shown(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read(body)
    error = caught.value
    assert (error.kind, error.status, error.not_accepted) == (Kind.MALFORMED, 200, False)
    assert f"{len(body)} bytes" in str(error)
    assert body[:10].decode("utf-8", "replace") in str(error)
    assert len(str(error)) < 350


@pytest.mark.parametrize(
    ("billing", "cost"),
    [
        ({"status": "settled", "credits": "27", "cost_usd": "0.135"}, 0.135),
        ({"status": "settled", "credits": 27, "cost_usd": 0.135}, 0.135),
        ({"status": "SETTLED", "cost_usd": " 0.135 "}, 0.135),
        ({"cost_usd": "0.135"}, 0.135),
        ({"status": None, "cost_usd": "0.135"}, 0.135),
        ({"status": "settled", "credits": "27"}, 0.135),
        ({"status": "settled", "credits": 3, "cost_usd": None}, 0.015),
        ({"status": "settled", "credits": "3", "cost_usd": "free"}, 0.015),
        ({"status": "settled", "cost_usd": "0"}, 0.0),
        ({"status": "refunded", "credits": "0", "cost_usd": "0"}, 0.0),
        ({"status": "refunded", "credits": "27", "cost_usd": "0.135"}, 0.0),
        ({"status": "refunded"}, 0.0),
        ({"status": "pending", "cost_usd": "0"}, None),
        ({"status": 7, "cost_usd": "0.135"}, None),
        ({"status": "settled"}, None),
        ({"cost_usd": "-0.1"}, None),
        ({"cost_usd": "NaN"}, None),
        ({"cost_usd": float("inf")}, None),
        ({"cost_usd": True}, None),
        ({"cost_usd": ["0.1"]}, None),
        ({"cost_usd": 10**400}, None),
        ({"cost_usd": "0,135"}, None),
        ({}, None),
        ([], None),
        ("0.135", None),
        (0.135, None),
        (None, None),
    ],
    ids=str,
)
def test_the_cost_is_read_or_left_out(billing: object, cost: float | None) -> None:
    generation = read({**DOCUMENTED, "billing": billing})
    assert generation.cost_usd == cost
    assert generation.completed().urls
