"""Tasks that wait on a worker for an image that takes long, each with an account of its own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

WAITING = {"retries": 1, "retry_delay": timedelta(seconds=1)}

with DAG("ended_waits", schedule=None):
    GptImgGenerateOperator(
        task_id="generate", prompt="A tower", conn_id="ended_generate", deferrable=False, **WAITING
    )
    submitted = GptImgGenerateOperator(
        task_id="submitted", prompt="A bridge", conn_id="ended_poke", wait_for_completion=False
    )
    GptImgGenerationSensor(
        task_id="poke", generation_id=submitted.output, conn_id="ended_poke", mode="poke", **WAITING
    )
    GptImgBatchOperator(
        task_id="batch",
        items=["A gate", "A wall", "A moat"],
        output_path="{{ dag_run.conf['folder'] }}",
        conn_id="ended_batch",
        deferrable=False,
        **WAITING,
    )
