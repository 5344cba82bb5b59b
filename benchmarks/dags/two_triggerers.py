"""Tasks that wait for a generation, in a pool without slots."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

WAITS = int(os.environ.get("BENCHMARK_WAITS", "500"))

with DAG("waits", schedule=None):
    GptImgGenerationSensor.partial(task_id="wait", pool=os.environ.get("BENCHMARK_POOL", "closed")).expand(
        generation_id=[str(number) for number in range(WAITS)]
    )
