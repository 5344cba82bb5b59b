"""Why a task failed, left in an XCom."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor
from tests.support.pipelines import Pipeline, generate

pytestmark = pytest.mark.usefixtures("emulator")


@pytest.mark.parametrize("deferrable", [True, False])
def test_of_the_service_with_the_generation(deferrable: bool) -> None:
    pipeline = Pipeline(f"reason_{deferrable}")
    with pipeline.tasks():
        generate(prompt="[fail] A fox", deferrable=deferrable)
    assert pipeline.run() == "failed"
    reason = pipeline.xcom("images", "error")
    assert reason["error"] == "GptImgGenerationFailedError"
    assert reason["generation_id"] == pipeline.xcom("images", "generation_id")
    assert reason["message"] == str(pipeline.errors[0])


@pytest.mark.parametrize("push", [True, False])
def test_of_what_was_never_sent(push: bool) -> None:
    pipeline = Pipeline(f"reason_invalid_{push}")
    with pipeline.tasks():
        generate(size="{{ '4:3' }}", do_xcom_push=push)
    assert pipeline.run() == "failed"
    reason = pipeline.xcom("images", "error")
    assert (reason is not None) is push
    if push:
        assert (reason["error"], reason["generation_id"]) == ("GptImgValidationError", None)
        assert "4:3" in reason["message"]


def test_of_the_other_operators(tmp_path: Any) -> None:
    pipeline = Pipeline("reason_others")
    with pipeline.tasks():
        GptImgGenerationSensor(task_id="sensor", generation_id="unknown", poke_interval=0.1)
        GptImgDownloadOperator(
            task_id="download", generation_id="unknown", output_path=str(tmp_path), poll_interval=0.1
        )
        GptImgBatchOperator(
            task_id="batch", items=["[fail] A fox"], output_path=str(tmp_path), poll_interval=0.1
        )
    assert pipeline.run() == "failed"
    told = {task: pipeline.xcom(task, "error")["error"] for task in ("sensor", "download", "batch")}
    assert told == {
        "sensor": "GptImgNotFoundError",
        "download": "GptImgNotFoundError",
        "batch": "GptImgBatchError",
    }
    assert pipeline.xcom("batch", "batch")["total"] == 1
