"""The life of a task: time, business ids, money, expiry."""

from __future__ import annotations

import pytest


def test_a_task_ages_from_queued_to_completed(service, slow):
    generation_id = service.submit(n=2).json["id"]
    assert service.status(generation_id).json["status"] == "queued"
    slow.advance(500)
    first = service.status(generation_id).json
    slow.advance(300)
    second = service.status(generation_id).json
    assert first["status"] == second["status"] == "in_progress"
    assert 0 < first["progress"] < second["progress"] < 100
    assert "result" not in second
    slow.advance(300)
    done = service.status(generation_id).json
    assert (done["status"], done["progress"]) == ("completed", 100)
    assert done["completed_at"] - done["created_at"] in {999, 1000, 1001}
    assert done["expires_at"] - done["completed_at"] == 86_400
    assert done["result"]["type"] == "image"
    urls = [image["url"] for image in done["result"]["data"]]
    assert len(set(urls)) == 2
    assert all(url.startswith(f"{slow.base_url}/") for url in urls)
    assert slow.ledger()["submissions"][0]["polls"] == 4


def test_slow_prompts_take_ten_times_as_long(service, slow):
    generation_id = service.submit(prompt="a [slow] river").json["id"]
    slow.advance(9_900)
    assert service.status(generation_id).json["status"] == "in_progress"
    slow.advance(200)
    assert service.status(generation_id).json["status"] == "completed"


def test_without_latency_the_answer_is_already_terminal(service, gptimg_emulator):
    gptimg_emulator.configure(latency_median=0.0)
    answer = service.submit().json
    assert answer["status"] == "completed"
    assert answer["result"]["data"]


def test_a_failed_task_is_refunded(service, slow):
    generation_id = service.submit(prompt="[fail] please").json["id"]
    billed = slow.ledger()
    assert (billed["submissions"][0]["refunded"], billed["balance"]) == (0.0, 9.985)
    slow.advance(1001)
    answer = service.status(generation_id).json
    assert answer["status"] == "failed"
    assert answer["error"]["code"] == "generation_failed"
    assert "result" not in answer
    settled = slow.ledger()
    line = settled["submissions"][0]
    assert (line["status"], line["billed"], line["refunded"]) == ("failed", 0.015, 0.015)
    assert settled["balance"] == 10.0


def test_refused_prompts_are_not_billed(service, slow):
    reply = service.submit(prompt="[refuse] this")
    assert (reply.status, reply.error["code"]) == (422, "content_policy_violation")
    assert slow.ledger()["submissions"] == []
    assert slow.ledger()["balance"] == 10.0


def test_a_business_id_is_found_and_is_no_idempotency_key(service, slow):
    first = service.submit(client_business_id="af-ö/1 ?").json["id"]
    assert service.status("af-ö/1 ?").json["id"] == first
    second = service.submit(client_business_id="af-ö/1 ?").json["id"]
    assert second != first
    found = service.status("af-ö/1 ?").json
    assert (found["id"], found["client_business_id"]) == (second, "af-ö/1 ?")
    ledger = slow.ledger()
    assert [line["billed"] for line in ledger["submissions"]] == [0.015, 0.015]
    assert [line["client_business_id"] for line in ledger["submissions"]] == ["af-ö/1 ?"] * 2
    assert [line["polls"] for line in ledger["submissions"]] == [1, 1]


@pytest.mark.parametrize("identifier", ["task_img_nothing", "af-unknown", "x" * 3000])
def test_unknown_tasks(service, identifier):
    reply = service.status(identifier)
    assert (reply.status, reply.error["code"]) == (404, "task_not_found")


def test_business_ids_can_be_visible_late(service, slow):
    slow.configure(lookup_lag=30.0)
    generation_id = service.submit(client_business_id="af-1").json["id"]
    assert service.status("af-1").status == 404
    assert service.status(generation_id).status == 200
    slow.advance(31)
    assert service.status("af-1").json["id"] == generation_id


def test_a_second_submission_hides_no_first_one_that_was_visible(service, slow):
    slow.configure(lookup_lag=30.0)
    first = service.submit(client_business_id="af-1").json["id"]
    slow.advance(31)
    second = service.submit(client_business_id="af-1").json["id"]
    assert service.status("af-1").json["id"] == first
    slow.advance(31)
    assert service.status("af-1").json["id"] == second


def test_business_ids_can_be_ignored(service, slow):
    slow.configure(ignore_business_id=True)
    answer = service.submit(client_business_id="af-1").json
    assert "client_business_id" not in answer
    assert service.status("af-1").status == 404
    assert service.status(answer["id"]).status == 200
    assert slow.ledger()["submissions"][0]["client_business_id"] == "af-1"


def test_the_ledger_tells_what_happened(service, slow, as_key):
    as_key("sk-abcd1234").submit(client_business_id="af-1", n=3)
    ledger = slow.ledger()
    line = ledger["submissions"][0]
    accepted_at = line.pop("accepted_at")
    assert abs(accepted_at - slow.advance(0)) < 60
    assert line.pop("finishes_at") > accepted_at
    assert line.pop("id").startswith("task_img_")
    assert line == {
        "client_business_id": "af-1",
        "key_tail": "1234",
        "model": "gpt-image-2",
        "n": 3,
        "status": "queued",
        "billed": 0.045,
        "refunded": 0.0,
        "polls": 0,
    }
    assert ledger["requests"] == {"submit": 1, "status": 0, "upload": 0, "download": 0, "rate_limited": 0}
    assert ledger["balance"] == 9.955


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({}, 0.015),
        ({"resolution": "2K", "n": 7}, 0.14),
        ({"resolution": "4K", "size": "16:9", "n": 2}, 0.05),
        ({"model": "gpt-image-2.5-flare"}, 0.015),
        ({"model": "gpt-image-2-vip"}, 0.03),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1024x1024"}, 0.03),
        ({"model": "gpt-image-2.5-flare-vip", "size": "2048x2048"}, 0.04),
        ({"model": "gpt-image-2.5-flare-vip", "size": "3840x2160"}, 0.05),
    ],
)
def test_prices(service, slow, fields, price):
    service.submit(**fields)
    assert slow.ledger()["submissions"][0]["billed"] == price


def test_money_adds_up_exactly(service, slow):
    slow.configure(balance=0.465)
    for _ in range(31):
        assert service.submit().status == 200
    assert slow.ledger()["balance"] == 0.0
    reply = service.submit()
    assert (reply.status, reply.error["code"]) == (402, "insufficient_quota")
    slow.configure(balance=0.015)
    assert service.submit().status == 200


def test_the_configuration_says_what_is_left(service, slow):
    service.submit(prompt="[fail]")
    service.submit()
    assert slow.configure()["balance"] == 9.97
    slow.advance(1001)
    assert slow.configure(seed=1)["balance"] == 9.985
    assert slow.configure(balance=3)["balance"] == 3.0


def test_results_expire_after_a_day(service, slow):
    (url,) = service.urls()
    assert service.get(url).status == 200
    slow.advance(86_401)
    reply = service.get(url)
    assert (reply.status, reply.error["code"]) == (410, "expired")
    assert service.get(url.replace("0.png", "1.png")).status == 404


def test_reset_forgets_everything(service, slow):
    service.submit(client_business_id="af-1")
    before = slow.advance(0)
    slow.advance(1_000_000)
    slow.faults([{"on": "status", "kind": "status", "status": 500}])
    slow.reset()
    assert service.status("af-1").status == 404
    ledger = slow.ledger()
    assert (ledger["submissions"], ledger["balance"]) == ([], 10.0)
    assert slow.configure()["latency_median"] == 0.05
    assert 0 <= slow.advance(0) - before < 600
