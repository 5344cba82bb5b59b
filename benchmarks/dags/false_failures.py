"""One DAG for each way to end a wait, and one that keeps the scheduler busy meanwhile."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from benchmarks.variants import HastyOperator

TASKS = int(os.environ.get("BENCHMARK_TASKS", "200"))
CROWD = int(os.environ.get("BENCHMARK_CROWD", "100"))
OPTIONS = {"task_id": "draw", "retries": 0, "poll_interval": 1.0}

for dag_id, operator, options in [
    ("hasty", HastyOperator, {}),
    ("held_back", GptImgGenerateOperator, {"end_from_trigger": False}),
    ("ended_in_triggerer", GptImgGenerateOperator, {}),
]:
    with DAG(dag_id, schedule=None, max_active_tasks=TASKS) as dag:
        operator.partial(**OPTIONS, **options).expand(prompt=[f"{dag_id} {i}" for i in range(TASKS)])
    globals()[dag_id] = dag

with DAG("crowd", schedule=timedelta(seconds=20), catchup=False, max_active_runs=2):

    @task
    def stand(number: int) -> int:
        """Do nothing; many tasks do the same."""
        return number

    stand.expand(number=list(range(CROWD)))
