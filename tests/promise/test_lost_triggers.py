"""A wait that the triggerer gave up: the worker asks the service itself, waits on, and pays nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from tests.support.endings import run
from tests.support.service import CREATED, GENERATION_ID, Answer, Script

pytestmark = pytest.mark.usefixtures("database", "quick")

URL = "https://files.example/0.png"
UNAUTHORIZED = Answer({"error": {"code": "unauthorized", "message": "bad key"}}, 401)


def told(status: str, **fields: Any) -> Answer:
    return Answer({**CREATED, "created_at": time.time(), "status": status, **fields})


def running() -> Answer:
    return told("in_progress")


def completed() -> Answer:
    return told("completed", result={"data": [{"url": URL}]})


def posts(script: Script) -> int:
    return sum(method == "POST" for method, *_ in script.received)


LOST = ["trigger_lost", "trigger_and_id_lost", "trigger_lost_each_pays", "sensor_trigger_lost"]


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("still", [0, 2], ids=["finished", "still running"])
def test_a_trigger_that_died_pays_nothing(way: str, still: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The sensor's own first look sees it running, as does the operator's submission.
    first = [running()] if way.startswith("sensor") else []
    script = Script(status=[*first, completed(), *[running()] * still, completed()])
    ending = run(way, script, monkeypatch)
    assert (ending.state, ending.error) == ("success", None)
    assert posts(script) == 1
    if way in ("trigger_lost", "sensor_trigger_lost"):
        assert ending.urls == [URL]


@pytest.mark.parametrize("way", ["patient_deferred", "patient_sensor_deferred", "patient_end_from_trigger"])
def test_what_stopped_the_triggerer_need_not_stop_the_worker(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an old key in the triggerer's memory."""
    first = [running()] if "sensor" in way else []
    script = Script(status=[*first, UNAUTHORIZED, running(), running(), completed()])
    ending = run(way, script, monkeypatch)
    assert (ending.state, ending.urls, ending.error) == ("success", [URL], None)
    assert posts(script) == 1


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("trigger_lost_at_last", exceptions.GptImgTimeoutError),
        ("sensor_trigger_lost_at_last", exceptions.GptImgSensorTimeoutError),
    ],
)
def test_the_worker_waits_on_until_the_time_limit(
    way: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = run(way, Script(status=[running()]), monkeypatch)
    assert type(ending.error) is error
    assert f"[generation {GENERATION_ID}: accepted and billed" in str(ending.error)


def test_a_connection_that_breaks_meanwhile_is_said_with_the_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_gptimg.hooks.gptimg import GptImgHook

    script = Script(status=[running()])
    real, looked = GptImgHook.run, []

    def breaks(self: GptImgHook, flow: Any) -> Any:
        if posts(script):  # edited while the task is deferred
            looked.append(flow)
            broken = '{"conn_type": "gptimg", "password": "two words"}'
            monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", broken)
            self = GptImgHook(self.conn_id)
        return real(self, flow)

    monkeypatch.setattr(GptImgHook, "run", breaks)
    ending = run("deferred", script, monkeypatch)
    assert looked
    assert isinstance(ending.error, exceptions.GptImgValidationError)
    assert "contains characters that no API key has" in str(ending.error)
    assert f"[generation {GENERATION_ID}: accepted and billed; once the problem is fixed" in str(ending.error)
