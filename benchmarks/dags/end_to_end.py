"""The same images made in five ways: a DAG for each."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG, task_group

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

PROMPTS = [f"a picture, number {i}" for i in range(int(os.environ.get("BENCHMARK_IMAGES", "200")))]
PATH = "v1/images/generations"
INTERVAL = 5.0
OPTIONS = {"schedule": None, "default_args": {"retries": 2}}

OUTPUT = os.environ.get("BENCHMARK_OUTPUT", "file:///tmp/gptimg-bench")

for dag_id, options in {
    "mapped": {"end_from_trigger": False},
    "mapped_ended": {},
    "mapped_stored": {"output_path": f"{OUTPUT}/mapped/"},
}.items():
    with DAG(dag_id, **OPTIONS) as dag:
        GptImgGenerateOperator.partial(task_id="draw", poll_interval=INTERVAL, **options).expand(
            prompt=PROMPTS
        )
    globals()[dag_id] = dag

with DAG("batch", **OPTIONS):
    GptImgBatchOperator(
        task_id="draw",
        items=PROMPTS,
        output_path=OUTPUT,
        poll_interval=INTERVAL,
    )


def _is_completed(response: Any) -> bool:
    status = response.json()["status"]
    if status == "failed":
        raise ValueError(response.text)
    return bool(status == "completed")


with DAG("http", **OPTIONS):

    @task_group
    def pair(body: str) -> None:
        """Submit one, then wait for it."""
        submit = HttpOperator(
            task_id="submit",
            http_conn_id="images",
            endpoint=PATH,
            headers={"Content-Type": "application/json"},
            data=body,
            response_filter=lambda response: response.json()["id"],
        )
        # With a response_check it never defers, whatever deferrable says (apache-airflow-providers-http
        # 6.3.0); without one it takes the first answer as the end. So this is how it gives its worker back.
        wait = HttpSensor(
            task_id="wait",
            http_conn_id="images",
            endpoint=PATH + "/{{ ti.xcom_pull(task_ids='pair.submit', map_indexes=ti.map_index) }}",
            response_check=_is_completed,
            deferrable=True,
            mode="reschedule",
            poke_interval=INTERVAL,
            timeout=1800,
        )
        submit >> wait

    pair.expand(body=[json.dumps({"model": "gpt-image-2", "prompt": prompt}) for prompt in PROMPTS])
