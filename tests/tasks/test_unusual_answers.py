"""Answers that mean something else than they seem to, whichever way a task waits."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.result import NOTHING_ASKED, asked, result_of, shortfall, submitted_at_in
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger
from tests.support.endings import run
from tests.support.service import CREATED, GENERATION_ID, Answer, Script, scripted

URL = "https://files.example/0.png"
UNKNOWN = Answer({"error": {"code": "task_not_found", "message": "who?"}}, 404)

pytestmark = pytest.mark.usefixtures("database", "quick")


def created() -> dict[str, Any]:
    """Return what the service says of a generation that was submitted just now."""
    return {**CREATED, "created_at": time.time(), "status": "queued"}


def completed(**more: Any) -> Answer:
    return Answer({**created(), "status": "completed", "result": {"data": [{"url": URL}]}, **more})


def connect(monkeypatch: pytest.MonkeyPatch, url: str, **extra: Any) -> None:
    described = {"conn_type": "gptimg", "host": url, "password": "sk-test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))


WAYS = [
    *("sync", "deferred", "end_from_trigger"),
    *("sensor_poke", "sensor_reschedule", "sensor_deferred", "sensor_end_from_trigger"),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_generation_that_is_not_visible_yet_is_waited_for(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(submit=[Answer(created())], status=[UNKNOWN, UNKNOWN, completed()])
    ending = run(way, script, monkeypatch)
    assert (ending.state, ending.urls) == ("success", [URL])
    assert [method for method, *_ in script.received].count("POST") == 1


def test_the_hook_knows_what_it_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[UNKNOWN, UNKNOWN, completed()])
    with scripted(script) as url:
        connect(monkeypatch, url)
        hook = GptImgHook()
        assert hook.wait(hook.submit("A fox").id, poll_interval=0.1).urls == (URL,)
        script.status[:] = [UNKNOWN, completed()]
        assert GptImgHook().wait(GENERATION_ID, poll_interval=0.1, submitted_at=time.time()).urls == (URL,)
        script.status[:] = [UNKNOWN]
        with pytest.raises(exceptions.GptImgNotFoundError):
            GptImgHook().wait(GENERATION_ID, poll_interval=0.1)


@pytest.mark.parametrize(("age", "status"), [(5.0, "completed"), (61.0, "error"), (None, "error")])
async def test_a_trigger_is_told_when_it_was_submitted(
    monkeypatch: pytest.MonkeyPatch, age: float | None, status: str
) -> None:
    script = Script(status=[UNKNOWN, completed()])
    with scripted(script) as url:
        connect(monkeypatch, url)
        trigger = GptImgGenerationTrigger(
            generation_id=GENERATION_ID,
            poll_interval=0.1,
            deadline=time.time() + 10,
            submitted_at=None if age is None else time.time() - age,
        )
        trigger.hold_back = 0.02
        (event,) = [event.payload async for event in trigger.run()]
    assert event["status"] == status


@pytest.mark.parametrize(
    ("given", "submitted_at"),
    [
        ({"generation_id": "a", "created_at": "2026-09-21T14:13:20Z"}, 1_790_000_000.0),
        ({"generation_id": "a", "created_at": "2026-09-21T22:13:20+08:00"}, 1_790_000_000.0),
        *(({"created_at": odd}, None) for odd in (None, "", "soon", 7, "P1D", ["x"])),
        ({}, None),
        ("task_1", None),
        (None, None),
    ],
    ids=str,
)
def test_when_it_was_submitted_is_read_from_a_result(given: object, submitted_at: float | None) -> None:
    assert submitted_at_in(given) == submitted_at


def generation(urls: int, status: str = "completed") -> Generation:
    return Generation(id="a", status=status, urls=(URL,) * urls)


def test_fewer_images_than_asked_for_are_counted() -> None:
    four = asked(GenerationRequest.checked("a fox", n=4), 1)
    assert result_of(generation(4), four)["missing"] == 0
    assert shortfall(result_of(generation(4), four)) is None
    few = result_of(generation(3), four)
    assert few["missing"] == 1
    assert shortfall(few) == (
        "Generation a is completed with 3 image(s), 1 fewer than requested. "
        "The result has the images that exist."
    )
    assert result_of(generation(5), four)["missing"] == 0
    assert result_of(generation(0, "queued"), four)["missing"] == 0
    assert result_of(generation(1), NOTHING_ASKED)["missing"] == 0
    before = {name: value for name, value in four.items() if name != "n"}  # kept by an older version
    assert result_of(generation(1), before)["missing"] == 0  # type: ignore[arg-type]


def test_fewer_images_than_asked_for_are_a_success_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ending = run("native", Script(status=[completed()]), monkeypatch)  # asks for two
    assert (ending.state, ending.urls, ending.result["missing"]) == ("success", [URL], 1)
    assert "with 1 image(s), 1 fewer than requested" in "".join(capfd.readouterr())


def test_an_error_inside_a_success_is_that_error(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    refused = Answer({"error": {"code": "insufficient_quota", "message": "余额不足"}})
    script = Script(submit=[refused], status=[UNKNOWN])
    ending = run("deferred", script, monkeypatch)
    assert isinstance(ending.error, exceptions.GptImgQuotaError)
    assert "余额不足" in str(ending.error)
    assert [method for method, *_ in script.received] == ["POST"]
    assert time.monotonic() - started < 30


def test_sizes_are_left_to_the_service_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with scripted(Script(status=[completed()])) as url:
        connect(monkeypatch, url)
        with pytest.raises(exceptions.GptImgValidationError, match="size='4:3'"):
            GptImgHook().submit("A fox", size="4:3")
        connect(monkeypatch, url, check_sizes=False)
        assert GptImgHook().submit("A fox", size="4:3").id == GENERATION_ID
    said = "".join(capfd.readouterr())
    assert (
        said.count(
            "Not checked, because check_sizes is off in the connection: size='4:3' at resolution='1K'."
        )
        == 1
    )
