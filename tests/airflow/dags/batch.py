"""Batches whose task is killed, deferred and cleared."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator

FOLDER = "{{ dag_run.conf['folder'] }}"
ITEMS = 60

with DAG("batch_killed", schedule=None):
    GptImgBatchOperator(
        task_id="killed",
        items=[f"Killed {number}" for number in range(ITEMS)],
        output_path=FOLDER,
        conn_id="batch_killed",
        poll_interval=1,
        retries=6,
        retry_delay=timedelta(seconds=1),
    )

with DAG("batch_slow", schedule=None):
    GptImgBatchOperator(
        task_id="slow",
        items=[f"[slow] {number}" for number in range(4)],
        output_path=FOLDER,
        conn_id="batch_slow",
        poll_interval=1,
    )

with DAG("batch_cleared", schedule=None):
    GptImgBatchOperator(
        task_id="cleared",
        items="{{ dag_run.conf['items'] }}",
        output_path=FOLDER,
        conn_id="batch_cleared",
        poll_interval=1,
    )
