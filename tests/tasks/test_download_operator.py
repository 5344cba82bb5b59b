"""Storing: by the operator that made the images, and by the one for a generation from anywhere."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.pipelines import Pipeline, generate


def download(**arguments: Any) -> GptImgDownloadOperator:
    return GptImgDownloadOperator(**{"task_id": "kept", "poll_interval": 0.1, **arguments})


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_generation_from_anywhere(emulator: Any, tmp_path: Path) -> None:
    generation = GptImgHook().submit("A fox", size="3:2", n=2)
    pipeline = Pipeline("from_anywhere")
    with pipeline.tasks():
        download(generation_id=generation.id, output_path=tmp_path.as_uri())
    assert pipeline.run() == "success", pipeline.errors
    result = pipeline.xcom("kept")
    identity = hashlib.sha256(generation.id.encode()).hexdigest()[:12]
    assert names(tmp_path) == [f"kept-{identity}-{index}.png" for index in (0, 1)]
    assert result["urls"] == pipeline.xcom("kept", "urls") == [image["uri"] for image in result["images"]]
    assert (result["images"][1]["width"], result["images"][1]["height"]) == (1536, 1024)
    assert (result["prompt"], result["submissions"]) == (None, None)
    assert len(emulator.ledger()["submissions"]) == 1


def test_a_result_keeps_what_was_asked(emulator: Any, tmp_path: Path) -> None:
    pipeline = Pipeline("keep_what_was_asked")
    with pipeline.tasks():
        submitted = generate(wait_for_completion=False)
        download(
            generation_id=submitted.output,
            output_path=str(tmp_path),
            file_name="{{ ds_nodash }}/fox.{format}",
        )
    assert pipeline.run() == "success", pipeline.errors
    result = pipeline.xcom("kept")
    assert (result["prompt"], result["size"], result["submissions"]) == ("A fox", "1:1", 1)
    (name,) = names(tmp_path)
    assert name.endswith("/fox.png")
    assert len(name) == len("20261124/fox.png")


def test_a_picture_of_another_size_than_promised_is_refused(emulator: Any, tmp_path: Path) -> None:
    generation = GptImgHook().submit("A fox")
    claimed = {
        "generation_id": generation.id,
        "model": "gpt-image-2",
        "size": "3:2",
        "resolution": "1K",
    }
    pipeline = Pipeline("another_size")
    with pipeline.tasks():
        download(generation_id=claimed, output_path=str(tmp_path))
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, exceptions.GptImgDownloadError)
    assert "1024x1024 pixels, but 1536x1024" in str(error)
    assert generation.id in str(error)
    assert names(tmp_path) == []


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_expired_generation_says_when_and_what_to_do(
    emulator: Any, tmp_path: Path, deferrable: bool
) -> None:
    hook = GptImgHook()
    generation = hook.submit("A fox")
    hook.wait(generation.id, poll_interval=0.1)
    emulator.advance(25 * 3600)
    pipeline = Pipeline("expired")
    with pipeline.tasks():
        download(generation_id=generation.id, output_path=str(tmp_path), deferrable=deferrable)
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, exceptions.GptImgExpiredError)
    assert " 20" in str(error).partition("expired on")[2]
    assert generation.id in str(error)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"output_path": ""}, "output_path=''"),
        ({"output_path": "{{ none }}"}, "output_path='None'"),
        ({"output_path": "nothing://x/y"}, "output_path='nothing://x/y'"),
        ({"output_path": 7}, "output_path=7"),
        ({"output_path": "pictures/today"}, "an absolute path or a URI is needed"),
        ({"output_path": "/tmp/x", "file_name": "../{index}"}, "file_name='../{index}'"),
    ],
)
def test_a_bad_place_is_refused_before_anything_is_paid(
    emulator: Any, arguments: dict[str, Any], says: str
) -> None:
    pipeline = Pipeline("bad_place")
    with pipeline.tasks():
        generate(**arguments)
    assert pipeline.run() == "failed"
    assert says in str(pipeline.errors[0])
    assert isinstance(pipeline.errors[0], exceptions.GptImgValidationError)
    assert emulator.ledger()["requests"]["submit"] == 0


def test_a_missing_decoder_is_found_before_anything_is_paid(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    pipeline = Pipeline("no_decoder")
    with pipeline.tasks():
        generate(output_path=str(tmp_path), verify_images=True)
    assert pipeline.run() == "failed"
    assert "airflow-provider-gptimg[verify]" in str(pipeline.errors[0])
    assert emulator.ledger()["requests"]["submit"] == 0


def test_decoded_pictures_are_stored(emulator: Any, tmp_path: Path) -> None:
    pipeline = Pipeline("decoded")
    with pipeline.tasks():
        generate(output_path=str(tmp_path), verify_images=True, file_name="fox")
    assert pipeline.run() == "success", pipeline.errors
    assert names(tmp_path) == ["fox.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n": "{{ 1 + 1 }}"}, "It came from the template '{{ 1 + 1 }}'"),
        ({"size": "{{ params.size }}"}, "It came from the template '{{ params.size }}'"),
        ({"reference_images": ["{{ params.none }}"]}, "It came from the template ['{{ params.none }}']"),
        ({"output_path": "{{ params.none }}"}, "It came from the template '{{ params.none }}'"),
    ],
)
def test_a_wrong_value_names_its_template(emulator: Any, arguments: dict[str, Any], says: str) -> None:
    pipeline = Pipeline("templates", params={"size": "5:1", "none": None})
    with pipeline.tasks():
        generate(**arguments)
    assert pipeline.run() == "failed"
    assert says in str(pipeline.errors[0])
    assert emulator.ledger()["requests"]["submit"] == 0


def test_a_wrong_output_of_another_task_names_that_task(emulator: Any) -> None:
    pipeline = Pipeline("templates_of_outputs")
    with pipeline.tasks() as dag:

        @dag.task
        def count() -> str:
            return "two"

        generate(n=count())
        GptImgGenerateOperator.partial(task_id="mapped", prompt="A fox", size="{{ '5:1' }}").expand(n=[1])
    assert pipeline.run() == "failed"
    of_output, of_mapped = sorted(map(str, pipeline.errors))
    assert "count" in of_output.partition("It came from the template")[2]
    assert "It came from the template \"{{ '5:1' }}\"" in of_mapped


def test_a_value_that_was_written_so_names_no_template(emulator: Any) -> None:
    with pytest.raises(ValueError, match="5:1") as refused:
        generate(size="5:1")
    assert "template" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{{ {'generation_id': 'task_img_1'} }}", "the text of a dict or list"),
        ("{{ none }}", "generation_id='None' is not allowed: it came out empty"),
    ],
)
def test_a_text_that_is_no_id_is_refused(emulator: Any, tmp_path: Path, given: str, says: str) -> None:
    pipeline = Pipeline("no_id")
    with pipeline.tasks():
        download(generation_id=given, output_path=str(tmp_path))
    assert pipeline.run() == "failed"
    assert says in str(pipeline.errors[0])
    assert emulator.ledger()["requests"]["status"] == 0


def test_mapped_names(emulator: Any, tmp_path: Path) -> None:
    """A name of each one's own is fine, one that all share is refused before anything is paid."""
    pipeline = Pipeline("mapped_names")
    with pipeline.tasks():
        common = {"poll_interval": 0.1, "output_path": str(tmp_path)}
        GptImgGenerateOperator.partial(task_id="own", **common).expand_kwargs(
            [{"prompt": "A fox", "file_name": "fox"}, {"prompt": "A bear", "file_name": "bear"}]
        )
        GptImgGenerateOperator.partial(task_id="template", file_name="t{{ ti.map_index }}", **common).expand(
            prompt=["A fox"]
        )
        for task_id, shared in (("shared", "same"), ("dated", "{{ run_id | length }}/fox-{index}")):
            GptImgGenerateOperator.partial(task_id=task_id, file_name=shared, **common).expand(
                prompt=["A fox"]
            )
    assert pipeline.run() == "failed"
    assert len(pipeline.errors) == 2
    for error in pipeline.errors:
        assert "{map_index} or {identity}" in str(error)
    assert names(tmp_path) == ["bear.png", "fox.png", "t0.png"]
    assert len(emulator.ledger()["submissions"]) == 3
