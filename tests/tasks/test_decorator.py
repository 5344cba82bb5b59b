"""``@task.gptimg``: what a function may return, how it is called, and what comes of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import task
from PIL import Image

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.decorators.gptimg import gptimg_task
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.airflow_versions import skip_retries
from tests.support.dags import taskflow
from tests.support.pipelines import Pipeline
from tests.support.service import Script
from tests.support.taskflow_runs import COMPLETED, URL, player

pytestmark = pytest.mark.usefixtures("database", "quick")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with player(monkeypatch) as play:
        yield play


def test_bare(play: Any) -> None:
    played = play("bare")
    assert played.ti().state == "success"
    assert played.xcom()["urls"] == played.xcom("urls") == [URL]
    (sent,) = played.sent
    assert (sent["prompt"], sent["size"]) == ("A fox", "1:1")


def test_arguments_are_the_operators(play: Any) -> None:
    (sent,) = play("arguments").sent
    assert {name: sent[name] for name in ("prompt", "size", "resolution", "n", "model")} == {
        "prompt": "A fox",
        "size": "16:9",
        "resolution": "2K",
        "n": 2,
        "model": "gpt-image-2",
    }


def test_a_request_goes_before_what_is_declared(play: Any) -> None:
    (sent,) = play("request").sent
    assert (sent["prompt"], sent["size"], sent["resolution"]) == ("A fox", "16:9", "2K")
    assert (sent["n"], sent["quality"]) == (2, "high")


def test_what_is_returned_is_a_template(play: Any) -> None:
    played = play("templates")
    assert "size='{{ size }}'" in str(taskflow.failures[0])
    assert played.rendered()["prompt"] == "A red fox"


def test_a_literal_is_no_template(play: Any) -> None:
    (sent,) = play("literal").sent
    assert sent["prompt"] == "How to write {{ braces }}"


def test_context_arguments(play: Any) -> None:
    played = play("context")
    assert taskflow.calls == [
        ("fox", played.run.logical_date.strftime("%Y-%m-%d"), {"colour": "red"}, "draw", "taskflow_context")
    ]


def test_an_argument_called_like_a_part_of_the_context(play: Any) -> None:
    (sent,) = play("shadow").sent
    assert taskflow.calls == ["yesterday"]
    assert sent["prompt"] == "yesterday and taskflow_shadow"


def test_between_other_tasks(play: Any) -> None:
    play("upstream")
    assert taskflow.calls == ["whale", ([URL], "A whale")]


def test_mapped(play: Any) -> None:
    played = play("mapped")
    prompts = {
        (name, index): played.xcom(task_id=name, map_index=index)["prompt"]
        for name, indexes in {"expanded": (0, 1), "combined": (0, 1), "by_kwargs": (0,)}.items()
        for index in indexes
    }
    assert prompts == {
        ("expanded", 0): "A fox",
        ("expanded", 1): "A whale",
        ("combined", 0): "A red fox",
        ("combined", 1): "A red whale",
        ("by_kwargs", 0): "A blue fox",
    }
    assert {name: played.rendered(*name)["prompt"] for name in prompts} == prompts
    assert len({sent["client_business_id"] for sent in played.sent}) == 5


def test_an_annotation_makes_no_multiple_outputs(play: Any) -> None:
    played = play("annotated")
    assert played.xcom()["urls"] == [URL]
    assert played.xcom("model") is None


@pytest.mark.parametrize("way", ["multiple_outputs", "multiple_outputs_at_once"])
def test_multiple_outputs(way: str, play: Any) -> None:
    played = play(way)
    result = played.xcom(task_id="declared")
    assert {"generation_id", "urls", "images", "prompt", "submissions"} < set(result)
    assert {key: played.xcom(key, "declared") for key in result} == result


def test_multiple_outputs_of_a_task_that_pushes_nothing(play: Any) -> None:
    played = play("multiple_outputs_of_none")
    assert played.ti("declared").state == "success"
    assert [played.xcom(key, "declared") for key in ("return_value", "prompt", "urls")] == [None] * 3


@pytest.mark.parametrize(
    ("name", "says"),
    {
        "nothing": "returned None: it is of type NoneType",
        "a number": "returned 7: it is of type int",
        "bytes": "returned b'A fox': it is of type bytes",
        "a list": "returned ['A fox', 'A whale']: it is of type list",
        "an empty prompt": "prompt=' '",
        "no prompt": "returned {'size': '16:9'}: it has no 'prompt'",
        "an unknown field": "'colour' is not a field that a function can return",
        "another connection": "'conn_id' is not a field that a function can return",
        "a wrong field": "size='17:3'",
        "a wrong place": "output_path=7",
        "a template of nothing": "'unheard_of' is undefined",
        "no template": "it fails as a template",
        "a very long list": "…: it is of type list",
        "no picture": "reference_images=None is not allowed: it came out empty",
        "no folder": "output_path='None' is not allowed: it came out empty",
        "no model": "model=None is not allowed: it came out empty",
    }.items(),
)
def test_a_wrong_return_value_is_final_and_costs_nothing(name: str, says: str, play: Any) -> None:
    script = Script(status=[COMPLETED])
    play("wrong", script, name=name)
    (error,) = taskflow.failures
    assert isinstance(error, exceptions.GptImgValidationError)
    assert says in str(error)
    assert "The function draw() of @task.gptimg returned" in str(error)
    assert len(str(error)) < 700
    assert script.received == []


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_coroutine_is_awaited(play: Any) -> None:
    played = play("coroutine")
    assert played.xcom()["urls"] == [URL]
    assert [sent["prompt"] for sent in played.sent] == ["A fox"]
    assert taskflow.failures == []


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_coroutines_are_mapped(play: Any) -> None:
    played = play("coroutines")
    assert sorted(sent["prompt"] for sent in played.sent) == ["A fox", "A whale"]
    assert "returned 7: it is of type int" in str(taskflow.failures[0])


def test_what_the_function_raises_is_retried(play: Any) -> None:
    skip_retries()
    script = Script(status=[COMPLETED])
    play("raises", script)
    assert len(taskflow.calls) == 2
    (failure,) = taskflow.failures  # Airflow 3.1 and 3.2 do not say which, see error_of
    assert isinstance(failure, (LookupError, RuntimeError))
    assert script.received == []


def test_a_prompt_in_the_decorator_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(TypeError, match=r"prompt='A fox'.*declared\(\) returns"):
        gptimg_task(prompt="A fox")(taskflow.declared)("fox")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 forgets overloads")
def test_every_argument_of_the_operator_is_known_to_type_checkers() -> None:
    from typing import get_overloads

    described = inspect.signature(get_overloads(gptimg_task)[1]).parameters
    taken = inspect.signature(GptImgGenerateOperator.__init__).parameters
    assert set(described) - {"multiple_outputs"} == set(taken) - {"self", "prompt"}


def test_airflow_knows_the_decorator() -> None:
    from airflow.sdk import task

    assert task.gptimg is gptimg_task


def test_a_path_among_the_reference_images_goes_through_the_deferral(emulator: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (2, 2)).save(photo)
    pipeline = Pipeline("taskflow_of_a_path")
    with pipeline.tasks():

        @task.gptimg(poll_interval=0.1)
        def draw() -> dict[str, Any]:
            return {"prompt": "A fox", "reference_images": [photo]}

        draw()
    assert pipeline.run() == "success", pipeline.errors
    assert emulator.ledger()["requests"]["upload"] == 1


def test_what_is_no_json_is_refused_before_it_is_paid(play: Any) -> None:
    played = play("no_json")
    assert isinstance(taskflow.failures[0], exceptions.GptImgValidationError)
    assert "it must be plain JSON" in str(taskflow.failures[0])
    assert played.sent == []
