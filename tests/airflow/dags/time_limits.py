"""DAGs whose tasks run out of time or are given up: each task is one story, with a connection of its own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

SYNC = {"deferrable": False}
MORTAL = "trigger_dies"

STORIES = {
    "late": {"timeout": 6, "retries": 9},
    "late_sync": {"timeout": 6, "retries": 9} | SYNC,
    "out_of_time": {"timeout": 8, "retries": 1} | SYNC,
    "execution_timeout": {"execution_timeout": timedelta(seconds=6), "retries": 9},
    "execution_timeout_sync": {"execution_timeout": timedelta(seconds=4), "retries": 9} | SYNC,
    "marked_failed": {},
    "marked_success": {},
}


class MortalTriggerGenerate(GptImgGenerateOperator):
    """The operator, with a trigger that raises as soon as it runs, when the image is there."""

    def defer(self, *, trigger, **kwargs):
        self.hook.wait(trigger.generation_id, poll_interval=0.5)
        trigger.deadline = "this is no time"
        super().defer(trigger=trigger, **kwargs)


def generate(task_id, operator=GptImgGenerateOperator, **options):
    return operator(task_id=task_id, prompt=task_id, conn_id=f"story_{task_id}", poll_interval=1, **options)


with DAG("time_limits", schedule=None, default_args={"retry_delay": timedelta(seconds=1)}):
    for name, settings in STORIES.items():
        generate(name, **settings)
    generate(MORTAL, MortalTriggerGenerate, retries=2)

with DAG("time_limits_of_a_run", schedule=None, dagrun_timeout=timedelta(hours=1)):
    generate("dagrun_timeout")
