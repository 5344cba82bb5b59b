"""The other shapes of answers that the contract lists, one by one and together."""

from __future__ import annotations

import pytest

from airflow_provider_gptimg.emulator.settings import Settings
from airflow_provider_gptimg.emulator.shapes import SHAPES


@pytest.fixture
def finished(service, slow):
    """Return what submits a task in some shapes and gives its final answer."""

    def answer(*shapes: str, **fields):
        slow.configure(shapes=list(shapes))
        generation_id = service.submit(**fields).json["id"]
        slow.advance(1001)
        return service.status(generation_id).json

    return answer


def path_of(url: str) -> str:
    return "/files/" + url.partition("/files/")[2]


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ("url", lambda answer: answer["url"]),
        ("images", lambda answer: answer["images"][0]["url"]),
        ("result-object", lambda answer: answer["result"]["data"]["url"]),
    ],
)
def test_where_the_urls_are(service, finished, shape, read):
    answer = finished(shape)
    assert service.get(read(answer)).status == 200
    assert sum(name in answer for name in ("url", "images", "result")) == 1


@pytest.mark.parametrize(
    ("shape", "seconds", "status"),
    [
        (None, 0, "queued"),
        ("pending", 0, "pending"),
        ("submitted", 0, "submitted"),
        ("processing", 500, "processing"),
        ("pending", 500, "in_progress"),
    ],
)
def test_what_a_status_is_called(service, slow, shape, seconds, status):
    slow.configure(shapes=[shape] if shape else [])
    generation_id = service.submit().json["id"]
    slow.advance(seconds)
    assert service.status(generation_id).json["status"] == status
    assert slow.ledger()["submissions"][0]["status"] in {"queued", "in_progress"}


@pytest.mark.parametrize("model", ["gpt-image-2.5-flare", "gpt-image-2.5-sunburst-vip"])
def test_the_newer_models_begin_with_pending(service, slow, model):
    assert service.submit(model=model).json["status"] == "pending"
    slow.configure(shapes=["submitted"])
    assert service.submit(model=model).json["status"] == "submitted"


@pytest.mark.parametrize(("shape", "prefix"), [("id-tsk", "tsk_img_"), ("id-img", "img_")])
def test_what_ids_look_like(service, slow, shape, prefix):
    before = service.submit().json["id"]
    slow.configure(shapes=[shape])
    assert service.submit().json["id"].startswith(prefix)
    assert service.status(before).json["id"] == before


def test_why_a_task_failed_can_be_text(finished):
    answer = finished("fail-reason", prompt="[fail]")
    assert answer["status"] == "failed"
    assert "error" not in answer
    assert answer["fail_reason"] == "The generation failed and was refunded."


def test_billing_can_be_numbers_or_missing(finished):
    assert finished("billing-numbers", n=9)["billing"] == {
        "status": "settled",
        "credits": 27.0,
        "cost_usd": 0.135,
    }
    assert "billing" not in finished("no-billing")


def test_numeric_codes(service, slow):
    slow.configure(shapes=["numeric-codes"])
    unknown = service.status("nothing")
    assert unknown.status == 404
    assert (unknown.error["code"], unknown.error["type"]) == (404, "not_found_error")
    assert service.submit(n="2").error["code"] == 400
    slow.faults([{"on": "submit", "kind": "status", "status": 429}])
    assert service.submit().error["code"] == 429


def test_chinese_messages(service, slow, as_key, finished):
    assert finished("chinese", prompt="[fail]")["error"]["message"] == "图片生成失败，费用已退还"  # noqa: RUF001
    assert service.status("nothing").error == {
        "code": "task_not_found",
        "message": "任务不存在",
        "type": "not_found_error",
    }
    assert "无可用渠道" in service.submit(model="dall-e-9").error["message"]
    assert service.upload(b"no picture").json == {"success": False, "message": "不支持的图片类型"}
    assert as_key("sk-invalid").call("GET", "/v1/balance").error["message"] == "无效的令牌"


def test_an_unknown_task_can_be_400(service, slow):
    slow.configure(shapes=["task-not-exist"])
    reply = service.status("nothing")
    assert (reply.status, reply.error["code"]) == (400, "task_not_exist")


def test_errors_can_come_in_200(service, slow, as_key):
    slow.configure(shapes=["errors-in-200"])
    for reply in (service.status("nothing"), service.submit(n=0), as_key(None).call("GET", "/v1/models")):
        assert reply.status == 200
        assert reply.json["error"]["message"]
    assert slow.ledger()["submissions"] == []
    # Where a status was asked for, it comes; files and control endpoints stay as they are.
    slow.faults([{"on": "submit", "kind": "status", "status": 503}])
    assert service.submit().status == 503
    assert service.get("/files/results/x/0.png").status == 404
    with pytest.raises(ValueError, match="advance"):
        slow.advance(-1)


@pytest.mark.parametrize("path", ["/v1/balance", "/v1/user/balance"])
def test_a_balance_of_an_unknown_key_can_come_in_200(slow, as_key, path):
    slow.configure(shapes=["unknown-key-in-200"])
    reply = as_key("sk-invalid").call("GET", path)
    assert reply.status == 200
    assert reply.json == {"success": False, "message": "The API key is not valid."}
    assert as_key("sk-test").call("GET", path).json["success"] is True


def test_a_service_without_the_balance_of_the_account(service, slow):
    slow.configure(shapes=["no-account-balance"])
    assert service.call("GET", "/v1/user/balance").status == 404
    assert service.call("GET", "/v1/balance").status == 200


def test_shapes_add_up_and_the_later_wins(finished):
    answer = finished("images", "url", "id-img", "no-billing")
    assert answer["id"].startswith("img_")
    assert path_of(answer["url"]) == f"/files/results/{answer['id']}/0.png"
    assert not {"images", "result", "billing"} & set(answer)


def test_all_of_them_at_once(finished):
    assert finished(*SHAPES)["status"] == "completed"


@pytest.mark.parametrize("shapes", ["url", ["url", "round"]])
def test_shapes_that_do_not_exist(slow, shapes):
    with pytest.raises(ValueError, match="shapes"):
        slow.configure(shapes=shapes)
    with pytest.raises(ValueError, match="shapes must be"):
        Settings(shapes=shapes)
