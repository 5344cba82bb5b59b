"""One DAG for each way to wait for a generation; the service's behaviour is the test's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor
from tests.support.airflow_versions import error_of

POLL = 0.1
LIMIT = 3.0
PATIENCE = 120.0
GENERATION_ID = "task_img_story"

failures: list[BaseException] = []
"""The exceptions of the tasks that failed."""


def remember(context: Any) -> None:
    failures.append(error_of(context))


def operator(kind: type[Any] = GptImgGenerateOperator, **arguments: Any) -> Any:
    return kind(
        **{
            "task_id": "images",
            "prompt": "A fox",
            "size": "16:9",
            "resolution": "2K",
            "poll_interval": POLL,
            "timeout": LIMIT,
            "retries": 0,
            "on_failure_callback": remember,
            **arguments,
        }
    )


def sensor(kind: type[Any] = GptImgGenerationSensor, **arguments: Any) -> Any:
    submitted = operator(task_id="submit", wait_for_completion=False)
    return kind(
        **{
            "task_id": "images",
            "generation_id": submitted.output,
            "poke_interval": POLL,
            "timeout": LIMIT,
            "retries": 0,
            "on_failure_callback": remember,
            **arguments,
        }
    )


class LosesItsTrigger:
    """Is resumed as Airflow does it where the trigger died: without all that went into the deferral."""

    def resume_execution(self, next_method: str, next_kwargs: Any, context: Any) -> Any:
        lost = {"error": "Trigger failure"}
        return super().resume_execution("__fail__", lost, context)  # type: ignore[misc]


class LosingOperator(LosesItsTrigger, GptImgGenerateOperator):
    pass


class LosingSensor(LosesItsTrigger, GptImgGenerationSensor):
    pass


dags: dict[str, DAG] = {}


@contextmanager
def way(name: str, **arguments: Any) -> Iterator[None]:
    with DAG(name, schedule=None, **arguments) as dag:
        yield
    dags[name] = dag


with way("sync"):
    operator(deferrable=False)
with way("deferred"):
    operator(end_from_trigger=False)
with way("end_from_trigger"):
    operator()
with way("sensor_poke"):
    sensor(mode="poke")
with way("sensor_reschedule"):
    sensor(mode="reschedule")
with way("sensor_deferred"):
    sensor(end_from_trigger=False)
with way("sensor_end_from_trigger"):
    sensor()
with way("sensor_poke_soft"):
    sensor(mode="poke", soft_fail=True)
with way("sensor_reschedule_soft"):
    sensor(mode="reschedule", soft_fail=True)
with way("sensor_deferred_soft"):
    sensor(soft_fail=True)
with way("sensor_id_only"):
    GptImgGenerationSensor(task_id="images", generation_id=GENERATION_ID, poke_interval=POLL)
with way("sensor_id_missing"):
    GptImgGenerationSensor(
        task_id="images", generation_id="{{ none }}", retries=0, on_failure_callback=remember
    )
with way("submit_only"):
    operator(wait_for_completion=False)
with way("model_of_the_connection"):
    operator(model=None, deferrable=False)
with way("n_is_text"):
    operator(n="{{ 1 + 1 }}")
with way("no_xcom"):
    operator(do_xcom_push=False)
with way("patient_deferred"):
    operator(end_from_trigger=False, timeout=PATIENCE)
with way("patient_end_from_trigger"):
    operator(timeout=PATIENCE)
with way("patient_sensor_deferred"):
    sensor(timeout=PATIENCE)
with way("trigger_lost"):
    operator(LosingOperator, timeout=PATIENCE)
with way("trigger_and_id_lost"):
    operator(LosingOperator, do_xcom_push=False, timeout=PATIENCE)
with way("trigger_lost_each_pays"):
    operator(LosingOperator, do_xcom_push=False, durable=False, timeout=PATIENCE)
with way("sensor_trigger_lost"):
    sensor(LosingSensor, timeout=PATIENCE)
with way("trigger_lost_at_last"):
    operator(LosingOperator)
with way("sensor_trigger_lost_at_last"):
    sensor(LosingSensor)
with way("native", render_template_as_native_obj=True):
    operator(n="{{ 1 + 1 }}", reference_images="{{ ['https://a.example/1.png'] }}", deferrable=False)
