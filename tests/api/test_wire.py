"""What is sent, what answers mean, and what errors mean: each row of the contract, and hostile ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_gptimg.api import balance, refusals, wire
from airflow_provider_gptimg.api.errors import FINAL, ApiError, Kind
from airflow_provider_gptimg.api.wire import File
from tests.support.driving import START, fault, reply

AMBIGUOUS = {Kind.UNAVAILABLE, Kind.UNREACHABLE, Kind.MALFORMED}
"""After these a submission may have been accepted, unless the error says it was not."""


def error(answer: wire.Reply) -> ApiError:
    found = refusals.error_in(answer, now=START)
    assert found is not None
    str(found).encode()
    assert len(str(found)) < 600
    return found


# status, code, message: kind, whether a retry of the task is pointless, whether it was surely not accepted
ROWS = [
    (400, "invalid_request", "bad size", Kind.BAD_REQUEST, True, False),
    (400, "invalid_reference_images", "bad url", Kind.BAD_REQUEST, True, False),
    (401, "unauthorized", "bad key", Kind.AUTHENTICATION, True, False),
    (401, "authentication_error", "bad key", Kind.AUTHENTICATION, True, False),
    (402, "insufficient_quota", "余额不足", Kind.QUOTA, True, False),
    (403, None, "blocked", Kind.PERMISSION, True, False),
    (404, "task_not_found", "unknown", Kind.NOT_FOUND, False, False),
    (413, None, "too large", Kind.BAD_REQUEST, True, False),
    (422, "content_policy_violation", "refused", Kind.POLICY, True, False),
    (429, "rate_limit_exceeded", "slow down", Kind.RATE_LIMITED, False, True),
    (429, None, "", Kind.RATE_LIMITED, False, True),
    (500, "internal_error", "oops", Kind.UNAVAILABLE, False, False),
    (502, "internal_error", "oops", Kind.UNAVAILABLE, False, False),
    (504, "internal_error", "oops", Kind.UNAVAILABLE, False, False),
    (500, "model_not_found", "no channel", Kind.UNAVAILABLE, False, False),
    (503, "rate_limit_unavailable", "later", Kind.UNAVAILABLE, False, True),
    (503, "model_not_found", "no such model", Kind.MODEL_UNAVAILABLE, True, False),
    (503, "503", "No available channel for model x", Kind.MODEL_UNAVAILABLE, True, False),
    (503, None, "当前分组下模型无可用渠道", Kind.MODEL_UNAVAILABLE, True, False),
    (503, "service_unavailable", "maintenance", Kind.UNAVAILABLE, False, False),
    (408, None, "too slow", Kind.UNAVAILABLE, False, False),
    # Gateways of the same family; the same code with another status is a bad request like any other.
    (400, "task_not_exist", "任务不存在", Kind.NOT_FOUND, False, False),
    (400, "task_not_found", "odd", Kind.BAD_REQUEST, True, False),
    (403, "quota_not_enough", "额度不足", Kind.QUOTA, True, False),
    (409, None, "conflict", Kind.BAD_REQUEST, True, False),
    (524, None, "a proxy's own", Kind.UNAVAILABLE, False, False),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "final", "not_accepted"), ROWS)
def test_the_table_of_errors(
    status: int, code: str | None, message: str, kind: Kind, final: bool, not_accepted: bool
) -> None:
    found = error(fault(code, status, message))
    assert (found.kind, found.status, found.not_accepted) == (kind, status, not_accepted)
    assert (found.kind in FINAL) == final
    assert (found.kind in AMBIGUOUS and not found.not_accepted) == (
        kind is Kind.UNAVAILABLE and not not_accepted
    )
    assert found.code == (code or "x"), "the type stands in where there is no code"
    assert message in str(found)
    assert str(status) in str(found)


@pytest.mark.parametrize(
    ("body", "shows"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
        (b"", "nothing"),
        (b'{"error": {"message": "cut o', "cut o"),
        ({"error": {"message": "m", "code": 1234}}, "code 1234"),
        ({"code": 404, "message": "flat", "type": "not_found_error"}, "flat (code 404)"),
        ({"code": None, "message": "flat", "type": "not_found_error"}, "flat (code not_found_error)"),
        ({"error": "only a text"}, "only a text"),
        ({"error": None, "message": "on top"}, "on top"),
        ({"success": False, "message": "Image too large: 11 MB"}, "Image too large"),
        ({"error": {}}, "500"),
        ({"error": []}, "500"),
        ({"error": {"message": {"nested": "text"}}}, "nested"),
        ([1, 2], "[1, 2]"),
        ("text", "text"),
        (None, "null"),
        (5, "5"),
        ("内部错误。".encode(), "内部错误"),
        ({"error": {"message": "内部错误。"}}, "内部错误."),
        ({"error": {"message": "a\r\n\x1b[31mb\x00c\u2028d"}}, "a [31mb c d."),
        ({"error": {"message": "m" * 1_000_000, "code": "c" * 1_000_000}}, "m" * 200),
        (b"\xff\xfe\x00bad bytes", "bad bytes"),
        (b'{"error":' * 100_000, '{"error":{"error":'),
        (b'{"error": {"message": "\\ud800 half"}}', "half"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_error_in_any_shape_is_told_in_one_printable_line(body: Any, shows: str) -> None:
    found = error(reply(body, 500))
    assert shows in str(found)
    assert str(found).isprintable()


def test_a_redirect_says_where_and_what_to_do() -> None:
    found = error(reply(b"", 301, location="https://new.example/\x1b" + "x" * 1000))
    assert "https://new.example/" in str(found)
    assert "host" in str(found)
    assert found.kind is Kind.BAD_REQUEST


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_is_no_error(status: int) -> None:
    assert refusals.error_in(reply(b"", status), now=START) is None


# code, kind, whether it was surely not accepted
INSIDE_A_SUCCESS = [
    ("invalid_request", Kind.BAD_REQUEST, False),
    ("a_code_nobody_knows", Kind.BAD_REQUEST, False),
    (None, Kind.BAD_REQUEST, False),
    (400, Kind.BAD_REQUEST, False),
    ("unauthorized", Kind.AUTHENTICATION, False),
    ("401", Kind.AUTHENTICATION, False),
    ("insufficient_quota", Kind.QUOTA, False),
    ("quota_not_enough", Kind.QUOTA, False),
    (402, Kind.QUOTA, False),
    (403, Kind.PERMISSION, False),
    ("task_not_found", Kind.NOT_FOUND, False),
    ("task_not_exist", Kind.NOT_FOUND, False),
    (404, Kind.NOT_FOUND, False),
    ("content_policy_violation", Kind.POLICY, False),
    ("rate_limit_exceeded", Kind.RATE_LIMITED, True),
    ("internal_error", Kind.UNAVAILABLE, False),
    (502, Kind.UNAVAILABLE, False),
    ("rate_limit_unavailable", Kind.UNAVAILABLE, True),
    ("model_not_found", Kind.MODEL_UNAVAILABLE, False),
]


@pytest.mark.parametrize(("code", "kind", "not_accepted"), INSIDE_A_SUCCESS)
def test_an_error_envelope_inside_a_success_is_that_error(code: Any, kind: Kind, not_accepted: bool) -> None:
    found = error(fault(code, 200, "模型不可用"))
    assert (found.kind, found.not_accepted) == (kind, not_accepted)
    assert "模型不可用" in str(found)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "only a text"}, Kind.BAD_REQUEST),
        ({"error": {"message": "m"}, "id": "request-7"}, Kind.BAD_REQUEST),
        ({"error": {"message": "m", "code": 500}, "status": 500}, Kind.UNAVAILABLE),
        ({"error": {"message": "m"}, "status": "error"}, Kind.BAD_REQUEST),
        ({"code": 404, "message": "no such task", "type": "not_found_error"}, Kind.NOT_FOUND),
        ({"code": "unauthorized", "message": "m", "data": None}, Kind.AUTHENTICATION),
    ],
    ids=str,
)
def test_every_form_of_an_envelope_is_found_in_a_success(body: Any, kind: Kind) -> None:
    assert error(reply(body)).kind is kind


@pytest.mark.parametrize(
    "body",
    [
        {"id": "a", "status": "failed", "error": {"code": "generation_failed", "message": "m"}},
        {"status": "failed", "error": {"code": 500}},
        {"id": "a", "status": "of tomorrow", "error": {"message": "m"}},
        {"id": "a", "status": "queued", "error": None},
        {"id": "a", "error": {}, "code": 200},
        {"success": False, "message": "unknown key", "code": 401},
        {"success": True, "data": {"url": "https://x/1"}, "error": ""},
        {"code": 200, "message": "ok", "data": {}},
        {"code": "success", "message": ""},
        [{"error": "m"}],
        "error",
    ],
    ids=str,
)
def test_what_is_no_envelope_is_no_error(body: Any) -> None:
    assert refusals.error_in(reply(body), now=START) is None


def test_success_false_instead_of_a_generation_is_a_refusal() -> None:
    with pytest.raises(ApiError, match="The request was refused: 额度不足") as caught:
        wire.read_generation(reply({"success": False, "message": "额度不足"}))
    assert caught.value.kind is Kind.BAD_REQUEST


@pytest.fixture(params=["UTC", "Asia/Shanghai", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Puts the machine into a time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("999999999999", 999999999999.0),
        ("1e400", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("soon", None),
        # START is 14:13:20 GMT of that day.
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("Mon, 21 Sep 2026 14:13:50 -0000", 30.0),
        ("Mon, 21 Sep 2026 22:13:50 +0800", 30.0),
        ("Monday, 21-Sep-26 14:13:50 GMT", 30.0),
        ("Mon Sep 21 14:13:50 2026", 30.0),
        ("Mon, 21 Sep 2026 14:13:10 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799.0 - START),
        ("Mon, 99 Sep 2026 14:13:50 GMT", None),
        ("Mon, 21 Sep 99999 14:13:50 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert error(fault("rate_limit_exceeded", 429, retry_after=header)).retry_after == seconds


@settings(deadline=None)
@given(st.text() | st.text("MonSep ,:-+0123456789GMT"))
def test_any_retry_after_is_seconds_or_nothing(header: str) -> None:
    seconds = wire.retry_after(header, START)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("task_img_1", "task_img_1"),
        ("../balance", "..%2Fbalance"),
        ("a/b?c=d#e%f g&h", "a%2Fb%3Fc%3Dd%23e%25f%20g%26h"),
        ("%2e%2e", "%252e%252e"),
        ("图", "%E5%9B%BE"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("\\..\\x", "%5C..%5Cx"),
        ("half \ud800", "half%20%3F"),
    ],
)
def test_an_id_is_one_segment_of_the_path(name: str, path: str) -> None:
    asked = wire.status_query(name)
    assert (asked.method, asked.category) == ("GET", "query")
    assert asked.path == f"/v1/images/generations/{path}"


@pytest.mark.parametrize("name", ["", ".", "..", "...", " ", ". ."])
def test_an_id_that_would_name_another_path_is_refused(name: str) -> None:
    with pytest.raises(ApiError, match="must name a generation"):
        wire.status_query(name)


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"id": "f1", "url": "https://x/a", "mime_type": "image/png", "size": 3}, ("f1", "image/png", 3)),
        ({"url": "https://x/a"}, (None, None, None)),
        ({"url": " HTTPS://x/a\n"}, (None, None, None)),
        ({"url": "https://x/a", "id": 1, "mime_type": [], "size": "3"}, (None, None, None)),
    ],
)
def test_an_upload_is_read(answer: dict[str, Any], read: tuple[object, ...]) -> None:
    uploaded = wire.read_upload(reply({"success": True, "message": "", "data": answer}))
    assert (uploaded.url, uploaded.id, uploaded.mime_type, uploaded.size) == ("https://x/a", *read)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"success": False, "message": "Unsupported image type: text"}, Kind.BAD_REQUEST),
        ({"success": True, "data": {"id": "x"}}, Kind.MALFORMED),
        ({"success": True, "data": {"url": 5}}, Kind.MALFORMED),
        ({"success": True, "data": ["https://x/a"]}, Kind.MALFORMED),
        ({"success": True}, Kind.MALFORMED),
        ({}, Kind.MALFORMED),
        ([], Kind.MALFORMED),
    ],
)
def test_an_upload_without_a_url_is_an_error(body: Any, kind: Kind) -> None:
    with pytest.raises(ApiError) as caught:
        wire.read_upload(reply(body))
    assert caught.value.kind is kind
    if isinstance(body, dict) and "message" in body:
        assert body["message"] in str(caught.value)


@pytest.mark.parametrize(
    ("size", "passes"), [(0, False), (1, True), (10 * 2**20, True), (10 * 2**20 + 1, False)]
)
def test_an_upload_has_at_most_10_mb(size: int, passes: bool) -> None:
    file = File("a.png", bytes(size), "image/png")
    if passes:
        assert wire.upload(file) == wire.Request("POST", "/v1/uploads/images", file=file)
    else:
        with pytest.raises(ApiError, match=rf"a\.png has {size} bytes: .*{10 * 2**20}") as caught:
            wire.upload(file)
        assert caught.value.kind is Kind.INVALID


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = (
    "id status error message code type data url result images success remain_balance remain_credits size "
    "billing "
    "progress created_at completed_at expires_at model client_business_id fail_reason unlimited_quota"
)
ANSWERS = st.dictionaries(st.sampled_from(NAMES.split()), NESTED) | NESTED


@settings(max_examples=1_000, deadline=None)
@given(ANSWERS, st.sampled_from([200, 302, 400, 404, 500, 503]))
def test_an_arbitrary_answer_never_raises_anything_else(body: Any, status: int) -> None:
    answer = reply(body, status)
    if status != 200:
        error(answer)
        return
    refusals.error_in(answer, now=START)
    for read in (wire.read_generation, wire.read_upload, balance.read):
        try:
            read(answer)  # type: ignore[operator]
        except ApiError as refused:
            str(refused).encode()


@pytest.mark.parametrize("depth", [*range(900, 1_000, 3), 2_000, 20_000])
@pytest.mark.parametrize(
    "shape",
    [
        '{{"code": {}1{}, "message": "x"}}',
        '{{"id": "x", "error": {}1{}}}',
        '{{"id": {}1{}}}',
        '{{"error": {{"message": {}1{}}}}}',
    ],
)
def test_deep_nesting_never_raises_anything_else(depth: int, shape: str) -> None:
    body = shape.format("[" * depth, "]" * depth).encode()
    assert error(reply(body, 500)).kind is Kind.UNAVAILABLE
    refusals.error_in(reply(body), now=START)
    try:
        wire.read_generation(reply(body))
    except ApiError as refused:
        assert len(str(refused)) < 600  # noqa: PT017
