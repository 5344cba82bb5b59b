"""Operator and sensor: what is refused when, what is templated, what time limits mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor
from tests.support.endings import run
from tests.support.pipelines import Pipeline
from tests.support.service import CREATED, GENERATION_ID, Answer, Script

pytestmark = pytest.mark.usefixtures("database", "quick")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "30"}, "timeout='30'"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"poll_interval": -1}, "poll_interval=-1"),
        ({"poll_interval": True}, "poll_interval=True"),
        ({"on_ambiguous_submit": "pray"}, "on_ambiguous_submit='pray'"),
        ({"prompt": " "}, "prompt=' ' is not allowed: it must not be empty"),
        ({"size": "4:3"}, "size='4:3' is not allowed: at resolution 1K, .*4:3 is offered at resolution 2K"),
        ({"size": "4:3", "prompt": "{{ p }}"}, "size='4:3'"),
        ({"resolution": "9K"}, "resolution='9K'"),
        ({"n": 0}, "n=0"),
        ({"n": 2, "model": "gpt-image-2.5-flare"}, "n=2"),
        ({"model": "gpt-image-2-vip", "extra_body": {"quality": "best"}}, "quality='best'"),
        ({"extra_body": {"model": "x"}, "size": "{{ s }}"}, "extra_body="),
    ],
)
def test_refused_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GptImgGenerateOperator(task_id="images", **{"prompt": "A fox", **arguments})


def test_what_a_mapped_task_is_expanded_over_is_refused_when_it_runs(emulator: Any) -> None:
    pipeline = Pipeline("expanded")
    with pipeline.tasks():
        GptImgGenerateOperator.partial(task_id="images", prompt="A fox", poll_interval=0.1).expand(
            size=["1:1", "4:3"]
        )
    assert pipeline.run() == "failed"
    assert "size='4:3'" in pipeline.xcom("images", key="error", map_index=1)["message"]
    assert pipeline.xcom("images", map_index=0)["status"] == "completed"


def test_a_connection_that_does_not_exist_fails_at_once(emulator: Any) -> None:
    pipeline = Pipeline("without_connection")
    with pipeline.tasks():
        GptImgGenerateOperator(task_id="images", prompt="A fox", conn_id="nobody_made_it", retries=3)
    assert pipeline.run() == "failed"  # `dag.test()` would leave a task that is to be retried as it is
    error = pipeline.xcom("images", key="error")
    assert error["error"] == "GptImgValidationError"
    assert "The conn_id `nobody_made_it` isn't defined. Add the connection: " in error["message"]
    assert "airflow connections add nobody_made_it --conn-type gptimg" in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": "4:3", "resolution": "{{ r }}"},
        {"size": "4:3", "model": "{{ m }}"},
        {"n": "2"},
        {"extra_body": "{'quality': 'low'}"},
        {"prompt": "fox.prompt"},
        {"reference_images": ["/not/there.png"]},
    ],
)
def test_what_may_still_be_right_is_not_refused_at_parse_time(arguments: dict[str, Any]) -> None:
    GptImgGenerateOperator(task_id="images", **{"prompt": "A fox", **arguments})


def test_nothing_that_a_template_may_change_is_refused_at_parse_time() -> None:
    GptImgGenerateOperator(
        task_id="images",
        prompt="{{ p }}",
        size="{{ s }}",
        resolution="{{ r }}",
        n="{{ n }}",
        conn_id="{{ c }}",
    )
    GptImgGenerationSensor(task_id="wait", generation_id="{{ g }}")


def test_everything_that_is_sent_is_templated() -> None:
    fields = {"prompt", "size", "resolution", "n", "model", "reference_images", "extra_body", "conn_id"}
    assert fields <= set(GptImgGenerateOperator.template_fields)


RUNNING = Answer({**CREATED, "status": "in_progress"})
COMPLETED = Answer(
    {**CREATED, "status": "completed", "result": {"data": [{"url": "https://x.example/1.png"}]}}
)


def sent(script: Script) -> Any:
    (body,) = [json.loads(body) for method, _, _, body in script.received if method == "POST"]
    return body


def test_wrong_type_after_rendering_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[COMPLETED])
    ending = run("n_is_text", script, monkeypatch)
    assert isinstance(ending.error, exceptions.GptImgValidationError)
    assert "n='2'" in str(ending.error)
    assert "render_template_as_native_obj" in str(ending.error)
    assert script.received == []


def test_native_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[COMPLETED])
    assert run("native", script, monkeypatch).state == "success"
    assert sent(script)["n"] == 2
    assert sent(script)["reference_images"] == ["https://a.example/1.png"]


def test_model_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[COMPLETED])
    run("model_of_the_connection", script, monkeypatch, default_model="gpt-image-2-vip")
    assert sent(script)["model"] == "gpt-image-2-vip"


def test_submit_only_hands_on_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[COMPLETED])
    ending = run("submit_only", script, monkeypatch)
    assert ending.result == {
        "generation_id": GENERATION_ID,
        "status": "queued",
        "model": "gpt-image-2",
        "prompt": "A fox",
        "size": "16:9",
        "resolution": "2K",
        "urls": [],
        "images": [],
        "created_at": "2026-09-21T14:13:20Z",
        "completed_at": None,
        "expires_at": None,
        "submissions": 1,
        "missing": 0,
        "cost_usd": 0.02,
        "cost_estimated": True,
        "cached": False,
    }
    assert [method for method, *_ in script.received] == ["POST"]


def test_do_xcom_push_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = run("no_xcom", Script(status=[COMPLETED]), monkeypatch)
    assert (ending.state, ending.result, ending.urls) == ("success", None, None)


def test_sensor_of_an_id_knows_what_the_service_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = run("sensor_id_only", Script(status=[COMPLETED]), monkeypatch)
    assert ending.result["urls"] == ["https://x.example/1.png"]
    assert ending.result["model"] == "gpt-image-2"
    assert ending.result["prompt"] is None


def test_sensor_of_a_missing_id_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(status=[COMPLETED])
    ending = run("sensor_id_missing", script, monkeypatch)
    assert isinstance(ending.error, exceptions.GptImgValidationError)
    assert "generation_id='None'" in str(ending.error)
    assert script.received == []


@pytest.mark.parametrize("way", ["sensor_poke", "sensor_reschedule", "sensor_deferred"])
def test_a_sensor_that_times_out_is_a_sensor_that_times_out(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.airflow_versions import AirflowSensorTimeout, skip_second_look

    skip_second_look(way)
    ending = run(way, Script(status=[RUNNING]), monkeypatch)
    assert isinstance(ending.error, AirflowSensorTimeout)
    assert isinstance(ending.error, exceptions.GptImgTimeoutError)


@pytest.mark.parametrize("looks", range(1, 9))
def test_exponential_backoff_is_airflows(looks: int) -> None:
    """The pauses of a deferred sensor lie in the same range as those that Airflow computes when poking."""
    sensor = GptImgGenerationSensor(
        task_id="wait",
        generation_id="x",
        exponential_backoff=True,
        poke_interval=6.0,
        timeout=1e6,
        max_wait=200.0,
    )
    ours = [sensor.pace.pause(looks) for _ in range(300)]
    airflows = [sensor._get_next_poke_interval(float(start), lambda: 0.0, looks) for start in range(300)]
    least = min(max(int(6 * 2 ** (looks - 2)), 1), 200)
    for pauses in (ours, airflows):
        assert least <= min(pauses) <= max(pauses) <= min(2 * least, 200)


@pytest.mark.parametrize(
    ("arguments", "defaults", "is_deferred"),
    [
        ({}, {}, True),
        ({"mode": "reschedule"}, {}, False),
        ({"mode": "poke"}, {}, False),
        ({}, {"mode": "reschedule"}, False),
        ({"mode": "reschedule", "deferrable": True}, {}, True),
    ],
)
def test_a_mode_wherever_it_is_given_means_not_deferred(
    arguments: dict[str, Any], defaults: dict[str, Any], is_deferred: bool
) -> None:
    from airflow.sdk import DAG

    with DAG("modes", default_args=defaults):
        sensor = GptImgGenerationSensor(task_id="wait", generation_id="x", **arguments)
    assert sensor.deferrable is is_deferred
