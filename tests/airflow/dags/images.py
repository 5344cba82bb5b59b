"""Every way to make images in one run: single, mapped, chained, sensed, stored, ended in the triggerer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, task
from airflow.triggers.base import BaseTrigger

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

PROMPTS = ["a red fox", "a blue whale", "a green parrot"]


class LostTrigger(BaseTrigger):
    """A trigger that no triggerer can load, so that Airflow resumes its task with nothing but an error."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "airflow_provider_gptimg.triggers.lost.LostTrigger", {}

    async def run(self) -> Any:
        yield


class LosesItsTrigger(GptImgGenerateOperator):
    def defer(self, *, trigger: Any, **how: Any) -> Any:
        return super().defer(trigger=LostTrigger(), **how)


def leave_a_file(name, context, result=None):
    Path(context["dag_run"].conf["called"], name).touch()


class Reporting(GptImgGenerateOperator):
    def post_execute(self, context, result=None):
        leave_a_file("method", context)


with DAG("images", schedule=None):

    @task
    def types(urls, result):
        """What downstream really gets."""
        return [
            type(urls).__name__,
            type(urls[0]).__name__,
            type(result).__name__,
            type(result["images"]).__name__,
        ]

    @task
    def count(results):
        return [len(result["urls"]) for result in results]

    @task
    def prompt():
        return "a prompt from upstream"

    single = GptImgGenerateOperator(
        task_id="single",
        prompt="a lighthouse",
        size="16:9",
        resolution="2K",
        n=2,
        end_from_trigger=False,
    )
    types.override(task_id="single_types")(single.output["urls"], single.output)

    ended = GptImgGenerateOperator(task_id="ended", prompt="a comet")
    types.override(task_id="ended_types")(ended.output["urls"], ended.output)

    GptImgGenerateOperator(task_id="ended_with_outlet", prompt="a postcard", outlets=[Asset("postcards")])

    GptImgGenerateOperator(
        task_id="stored",
        prompt="a harbour",
        output_path="{{ dag_run.conf['folder'] }}",
    )

    mapped = GptImgGenerateOperator.partial(task_id="mapped").expand(prompt=PROMPTS)
    count.override(task_id="mapped_count")(mapped.output)

    GptImgGenerateOperator(
        task_id="called_back",
        prompt="a bell",
        on_success_callback=partial(leave_a_file, "on_success_callback"),
        post_execute=partial(leave_a_file, "post_execute"),
    )
    Reporting(task_id="reporting", prompt="a drum")
    GptImgGenerateOperator.partial(
        task_id="named", map_index_template="{{ task.result['model'] }}: {{ task.prompt }}"
    ).expand(prompt=PROMPTS[:2])

    GptImgGenerateOperator(task_id="chained", prompt=prompt())

    submitted = GptImgGenerateOperator(
        task_id="submitted", prompt="[slow] a bridge", wait_for_completion=False
    )
    GptImgGenerationSensor(task_id="sensed", generation_id=submitted.output)
    GptImgGenerationSensor(
        task_id="sensed_by_id",
        generation_id=submitted.output["generation_id"],
        mode="reschedule",
        poke_interval=15,  # Airflow itself fails a task that is queued again too soon
    )

    LosesItsTrigger(
        task_id="lost_trigger",
        prompt="a kite",
        deferrable=True,
        output_path="{{ dag_run.conf['folder'] }}/lost",
        retries=2,
        retry_delay=1,
    )
