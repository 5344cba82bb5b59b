"""The money of the key and of its account, in every form that is documented or to be expected."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_gptimg.api import balance
from airflow_provider_gptimg.api.balance import Balance
from airflow_provider_gptimg.api.errors import ApiError, Kind
from tests.support.driving import START, Answer, Clock, Story, drive, fault, no_answer, reply

DOCUMENTED = {
    "success": True,
    "remain_balance": 10.5,
    "used_balance": 2.3,
    "remain_credits": 2100,
    "used_credits": 460,
    "credits_per_usd": 200,
    "unlimited_quota": False,
}


def asked(*answers: Answer) -> Story:
    clock = Clock()
    return drive(balance.ask(clock=clock, give_up_at=START), answers, clock)


@pytest.mark.parametrize(
    ("body", "usd"),
    [
        (DOCUMENTED, 10.5),
        # Of a site that shows yuan, or tokens: the credits are always 200 a dollar.
        ({**DOCUMENTED, "remain_balance": 75.6}, 10.5),
        ({**DOCUMENTED, "remain_balance": 5_250_000}, 10.5),
        ({**DOCUMENTED, "remain_balance": None}, 10.5),
        ({**DOCUMENTED, "remain_credits": "2100"}, 10.5),
        ({**DOCUMENTED, "remain_credits": 0, "remain_balance": 0}, 0.0),
        ({**DOCUMENTED, "remain_credits": -200, "remain_balance": -1}, -1.0),  # a debt of one dollar
        ({**DOCUMENTED, "unlimited_quota": True, "remain_balance": -1, "remain_credits": -200}, None),
        ({**DOCUMENTED, "unlimited_quota": True}, None),
        ({"remain_balance": -1}, None),
        ({"remain_balance": -1, "unlimited_quota": None}, None),
        ({"remain_balance": 7.5}, 7.5),
        ({"remain_balance": 7.5, "remain_credits": "many"}, 7.5),
        ({"remain_balance": 7.5, "remain_credits": float("nan")}, 7.5),
    ],
    ids=str,
)
def test_dollars_are_read_from_the_credits(body: dict[str, Any], usd: float | None) -> None:
    assert balance.read(reply(body)) == usd


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"success": False, "message": "未知的密钥"}, Kind.AUTHENTICATION),
        ({"success": True}, Kind.MALFORMED),
        ({"remain_balance": None}, Kind.MALFORMED),
        ({"remain_balance": True}, Kind.MALFORMED),
        ({"remain_balance": [1]}, Kind.MALFORMED),
        ({"remain_balance": 10**400}, Kind.MALFORMED),
        ("10", Kind.MALFORMED),
    ],
)
def test_a_balance_without_a_number_is_an_error(body: Any, kind: Kind) -> None:
    with pytest.raises(ApiError) as caught:
        balance.read(reply(body))
    assert caught.value.kind is kind
    if isinstance(body, dict) and "message" in body:
        assert body["message"] in str(caught.value)


def credits_of(count: int, **more: Any) -> Answer:
    return reply({**DOCUMENTED, "remain_credits": count, "remain_balance": count / 200, **more})


UNLIMITED = credits_of(-200, remain_balance=-1, unlimited_quota=True)


@pytest.mark.parametrize(
    ("key", "account", "found", "usd"),
    [
        (credits_of(400), credits_of(2000), Balance(2.0, 10.0, key_unlimited=False), 2.0),
        (credits_of(4000), credits_of(200), Balance(20.0, 1.0, key_unlimited=False), 1.0),
        (UNLIMITED, credits_of(2000), Balance(None, 10.0, key_unlimited=True), 10.0),
        (UNLIMITED, credits_of(0), Balance(None, 0.0, key_unlimited=True), 0.0),
        (UNLIMITED, UNLIMITED, Balance(None, None, key_unlimited=True), None),
    ],
)
def test_key_and_account_are_two_things(key: Answer, account: Answer, found: Balance, usd: Any) -> None:
    story = asked(key, account)
    assert story.paths == ["/v1/balance", "/v1/user/balance"]
    assert story.methods == ["GET", "GET"]
    assert story.result == found
    assert story.result.usd == usd


NOT_SERVED = [
    fault("not_found", 404),
    reply(b"404 page not found", 404),
    reply({"code": 404, "message": "x", "type": "not_found_error"}, 404),
    fault(None, 405),
    fault(None, 403),
    reply(b"<html>the console</html>"),
    reply({"data": {}}),
    reply({"error": {"code": "invalid_request", "message": "no such path"}}),
]


@pytest.mark.parametrize("answer", NOT_SERVED)
def test_a_service_may_know_only_the_key(answer: Answer) -> None:
    assert asked(credits_of(400), answer).result == Balance(2.0, None, key_unlimited=False)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((reply({"success": False, "message": "x"}),), Kind.AUTHENTICATION),
        ((fault("unauthorized", 401),), Kind.AUTHENTICATION),
        ((fault(None, 404),), Kind.NOT_FOUND),
        ((credits_of(1), reply({"success": False, "message": "x"})), Kind.AUTHENTICATION),
        ((credits_of(1), fault("internal_error", 500)), Kind.UNAVAILABLE),
        ((credits_of(1), no_answer()), Kind.UNREACHABLE),
        ((credits_of(1), fault("rate_limit_exceeded", 429, retry_after="9")), Kind.RATE_LIMITED),
    ],
)
def test_everything_else_is_an_error(answers: tuple[Answer, ...], kind: Kind) -> None:
    assert asked(*answers).kind is kind
