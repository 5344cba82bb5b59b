"""A single image and many mapped ones, made in four ways; and a batch."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

MAPPED = int(os.environ.get("BENCHMARK_MAPPED", "24"))
OUTPUT = os.environ.get("BENCHMARK_OUTPUT", "file:///tmp/gptimg-bench")
BATCH = int(os.environ.get("BENCHMARK_BATCH", "1000"))
WAYS: dict[str, dict[str, Any]] = {
    "by_default": {},
    "stored": {"output_path": f"{OUTPUT}/"},
    "resumed": {"end_from_trigger": False},
    "on_worker": {"deferrable": False},
}

for way, options in WAYS.items():
    with DAG(f"{way}_single", schedule=None) as single:
        GptImgGenerateOperator(task_id="draw", prompt="a picture", **options)
    with DAG(f"{way}_mapped", schedule=None) as mapped:
        GptImgGenerateOperator.partial(task_id="draw", **options).expand(
            prompt=[f"a picture, number {number}" for number in range(MAPPED)]
        )
    globals().update({single.dag_id: single, mapped.dag_id: mapped})

with DAG("batch", schedule=None):
    GptImgBatchOperator(
        task_id="draw",
        items=[f"a picture, number {number}" for number in range(BATCH)],
        output_path=f"{OUTPUT}/batch/",
    )
