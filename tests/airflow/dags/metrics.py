"""Tasks that end in the triggerer, on the worker and badly, and a batch: what is counted of them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

with DAG("metrics", schedule=None):
    GptImgGenerateOperator(task_id="triggered", prompt="a red fox", n=2)
    GptImgGenerateOperator(task_id="waited", prompt="a blue whale", deferrable=False)
    GptImgGenerateOperator(task_id="failed", prompt="[fail] a green parrot")
    GptImgBatchOperator(
        task_id="batch",
        items=["a card", "[refuse] a card"],
        output_path="{{ dag_run.conf['folder'] }}",
        on_item_error="continue",
        max_failed_items=1,
    )
