"""Values that came out as nothing: of skipped tasks, of templates, in mapped tasks; none of them is paid."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import task, task_group

from airflow_provider_gptimg.compat.imports import AirflowSkipException
from airflow_provider_gptimg.exceptions import GptImgValidationError
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.nothing import check_nothing, check_place_again
from airflow_provider_gptimg.tasks.templates import templates_named
from tests.support.pipelines import Pipeline, generate

PICTURE = "https://files.example/photo.png"
SAYS = "is not allowed: it came out empty"


def made(emulator: Any) -> int:
    return len(emulator.ledger()["submissions"])


def skipped() -> Any:
    @task
    def photo() -> str:
        raise AirflowSkipException("no photo today")

    return photo()


def test_a_picture_of_a_skipped_task(emulator: Any, tmp_path: Path) -> None:
    pipeline = Pipeline("nothing_of_a_skipped_task")
    late = {"trigger_rule": "all_done"}
    with pipeline.tasks():
        photo = skipped()
        generate(task_id="one", reference_images=photo, **late)
        generate(task_id="some", reference_images=[PICTURE, photo], **late)
        task.gptimg(task_id="decorated", reference_images=photo, **late)(lambda: "A fox")()
        GptImgBatchOperator(
            task_id="batch", items=["A fox"], output_path=str(tmp_path), reference_images=photo, **late
        )
    pipeline.run()
    assert len(pipeline.errors) == 4
    for error in pipeline.errors:
        assert isinstance(error, GptImgValidationError)
        assert "reference_images=" in str(error)
        assert SAYS in str(error)
        assert "photo" in str(error).partition("It came from the template")[2]
    assert made(emulator) == 0


def test_the_other_operators(emulator: Any, tmp_path: Path) -> None:
    pipeline = Pipeline("nothing_of_the_others", render_template_as_native_obj=True)
    folder = str(tmp_path)
    with pipeline.tasks():
        GptImgUploadOperator(task_id="upload", files="{{ none }}")
        GptImgUploadOperator(task_id="upload_none", files="{{ [] }}")
        GptImgDownloadOperator(task_id="download", generation_id="task_img_1", output_path="{{ none }}")
        GptImgGenerationSensor(task_id="sensor", generation_id="task_img_1", conn_id="{{ none }}")
        GptImgBatchOperator(task_id="batch", items=["A fox"], output_path="{{ none }}")
        GptImgBatchOperator(task_id="named", items=["A fox"], output_path=folder, file_name="{{ none }}")
        GptImgBatchOperator(task_id="model", items=["A fox"], output_path=folder, model="{{ none }}")
    assert pipeline.run() == "failed"
    assert sorted(str(error).partition("=")[0] for error in pipeline.errors) == sorted(
        ["files", "files", "output_path", "conn_id", "output_path", "file_name", "model"]
    )
    for error in pipeline.errors:
        assert SAYS in str(error)
        assert "It came from the template '{{ " in str(error)
    assert emulator.ledger()["requests"]["submit"] == emulator.ledger()["requests"]["status"] == 0


def test_in_mapped_tasks(emulator: Any) -> None:
    """What stands in the DAG's file is meant, what another task hands on is not."""
    pipeline = Pipeline("nothing_in_mapped_tasks")
    with pipeline.tasks():

        @task
        def photos() -> list[Any]:
            return [None]

        @task
        def dicts() -> list[Any]:
            return [{"prompt": "dicts", "reference_images": None}, {"prompt": "A dict without"}]

        @task_group
        def group(photo: Any) -> None:
            generate(task_id="of", prompt="group", reference_images=photo)

        @task_group
        def literals(photo: Any) -> None:
            generate(task_id="of", prompt="A literal group", reference_images=photo)

        def mapped(task_id: str, **fixed: Any) -> Any:
            return GptImgGenerateOperator.partial(task_id=task_id, poll_interval=0.1, **fixed)

        mapped("literal", prompt="A literal").expand(reference_images=[None, []])
        mapped("kwargs").expand_kwargs([{"prompt": "A dict", "reference_images": None}])
        mapped("output", prompt="output").expand(reference_images=photos())
        mapped("output_kwargs").expand_kwargs(dicts())
        mapped("partial", reference_images="{{ none }}").expand(prompt=["partial"])
        mapped("template", prompt="template").expand(reference_images=["{{ none }}"])
        group.expand(photo=photos())
        literals.expand(photo=[None])
    assert pipeline.run() == "failed"
    assert made(emulator) == 5  # "A …"
    assert len(pipeline.errors) == 5
    for error in pipeline.errors:
        assert SAYS in str(error)
        assert "It came from the template" in str(error)


XCOM = "{{ ti.xcom_pull('photo') }}"


@pytest.mark.parametrize(
    ("field", "written", "rendered"),
    [
        ("reference_images", XCOM, []),
        ("reference_images", XCOM, [[], []]),
        ("reference_images", XCOM, [None]),
        ("reference_images", [PICTURE, XCOM], [PICTURE, " "]),
        ("output_path", XCOM, float("nan")),
        ("output_path", XCOM, " nan "),
        ("output_path", f"s3://bucket/{XCOM}/", "s3://bucket/None/"),
        ("file_name", XCOM + "/{index}", "None/{index}"),
        ("extra_body", XCOM, None),
        ("extra_body", {"quality": XCOM}, {"quality": "None"}),
        ("model", XCOM, None),
        ("prompt", XCOM, "None"),
        ("size", XCOM, ""),
        ("n", XCOM, None),
        ("conn_id", XCOM, None),
    ],
)
def test_nothing(field: str, written: Any, rendered: Any) -> None:
    with (
        pytest.raises(GptImgValidationError, match=f"(?s){field}=.*{SAYS}.*It came from the template"),
        templates_named(context(field, written), "images"),
    ):
        check_nothing(context(field, written), "images", [field], SimpleNamespace(**{field: rendered}))


@pytest.mark.parametrize(
    ("field", "written", "rendered"),
    [
        ("reference_images", None, None),
        ("reference_images", [], []),
        ("output_path", None, None),
        ("output_path", "/data/None", "/data/None"),
        ("extra_body", XCOM, {}),
        ("extra_body", {"seed": None, "quality": XCOM}, {"seed": None, "quality": "high"}),
        ("model", XCOM, "gpt-image-2"),
        ("prompt", "{{ ds }}", "None of them"),
        ("n", XCOM, 0),
    ],
)
def test_something_or_left_out(field: str, written: Any, rendered: Any) -> None:
    check_nothing(context(field, written), "images", [field], SimpleNamespace(**{field: rendered}))


def test_a_place_that_is_gone_when_the_task_is_resumed() -> None:
    kept = Deferral(generation_id="task_img_7", deadline=0.0, try_number=1, asked={}, submitted_at=None)
    values = SimpleNamespace(output_path=None, file_name=None)
    with pytest.raises(GptImgValidationError, match=r"output_path=None.*task_img_7"):
        check_place_again(context("output_path", XCOM), "images", values, kept)


def context(field: str, written: Any) -> Any:
    """Return a context whose DAG has a task with a parameter as it was written."""
    task = SimpleNamespace(**{"is_mapped": False, field: written})
    return {"dag": SimpleNamespace(has_task=lambda _: True, get_task=lambda _: task)}
