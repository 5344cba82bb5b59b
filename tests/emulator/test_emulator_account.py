"""Money and models: the balances of key and account, what a task cost, what a key may use."""

from __future__ import annotations

import pytest

BALANCES = ("/v1/balance", "/v1/user/balance")


@pytest.mark.parametrize("path", BALANCES)
def test_balances_are_in_dollars_and_credits(service, slow, path):
    service.submit(prompt="[fail]", n=5)
    service.submit(n=2)
    assert service.call("GET", path).json == {
        "success": True,
        "remain_balance": 9.895,
        "used_balance": 0.105,
        "remain_credits": 1979,
        "used_credits": 21,
        "credits_per_usd": 200,
        "unlimited_quota": False,
    }
    slow.advance(1001)
    assert service.call("GET", path).json["used_balance"] == 0.03


def test_credits_need_not_be_whole(service, slow):
    slow.configure(balance=0.001)
    assert service.call("GET", "/v1/balance").json["remain_credits"] == 0.2


def test_a_key_without_money(as_key):
    for path in BALANCES:
        answer = as_key("sk-broke").call("GET", path).json
        assert (answer["remain_balance"], answer["remain_credits"]) == (0.0, 0)


def test_an_unlimited_key_has_the_money_of_its_account(slow, as_key):
    slow.configure(balance=0.015)
    service = as_key("sk-unlimited-1")
    own, account = (service.call("GET", path).json for path in BALANCES)
    assert (own["remain_balance"], own["remain_credits"], own["unlimited_quota"]) == (-1, -1, True)
    assert (account["remain_balance"], account["remain_credits"], account["unlimited_quota"]) == (
        0.015,
        3,
        False,
    )
    assert service.submit().status == 200
    assert (service.submit().status, service.submit().error["code"]) == (402, "insufficient_quota")
    assert service.call("GET", "/v1/balance").json["unlimited_quota"] is True
    assert service.call("GET", "/v1/user/balance").json["remain_balance"] == 0.0


@pytest.mark.parametrize("path", BALANCES)
def test_an_unknown_key_has_no_balance(as_key, path):
    reply = as_key("sk-invalid-1").call("GET", path)
    assert (reply.status, reply.error["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("fields", "cost_usd", "worth"),
    [
        ({}, "0.015", "3"),
        ({"n": 9}, "0.135", "27"),
        ({"resolution": "2K"}, "0.02", "4"),
        ({"resolution": "4K", "size": "16:9", "n": 4}, "0.1", "20"),
        ({"n": 1000, "resolution": "2K"}, "20", "4000"),
    ],
    ids=str,
)
def test_a_completed_task_says_what_it_cost(service, slow, fields, cost_usd, worth):
    slow.configure(balance=100)
    submitted = service.submit(**fields).json
    assert "billing" not in submitted
    slow.advance(1001)
    billing = service.status(submitted["id"]).json["billing"]
    assert billing == {"status": "settled", "credits": worth, "cost_usd": cost_usd}
    assert slow.ledger()["submissions"][0]["billed"] == float(cost_usd)
    assert service.call("GET", "/v1/balance").json["used_credits"] == int(worth)


def test_a_failed_task_says_that_it_was_refunded(service, slow):
    generation_id = service.submit(prompt="[fail]").json["id"]
    slow.advance(1001)
    answer = service.status(generation_id).json
    assert answer["billing"] == {"status": "refunded", "credits": "0", "cost_usd": "0"}
    assert answer["progress"] == 0


def test_models_are_listed(service, as_key):
    answer = service.call("GET", "/v1/models").json
    assert answer["object"] == "list"
    assert {model["object"] for model in answer["data"]} == {"model"}
    names = [model["id"] for model in answer["data"]]
    assert names[0] == "gpt-image-2"
    assert len(names) == len(set(names)) == 7
    for name in names:
        assert service.submit(model=name).status == 200
    assert as_key("sk-invalid").call("GET", "/v1/models").status == 401
