"""What two machines can only do together through the database, the broker and a bucket."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

FOLDER = "s3://store@pictures/{{ dag_run.conf['run'] }}"
PHOTO = "s3://store@pictures/in/photo.png"

with DAG(
    "machines",
    schedule=None,
    default_args={"retries": 8, "retry_delay": 1},
    max_active_tasks=64,
):
    made = GptImgGenerateOperator.partial(task_id="made").expand(
        prompt=[f"Picture {number}" for number in range(8)]
    )
    stored = GptImgGenerateOperator.partial(
        task_id="stored", output_path=FOLDER + "/stored", reference_images=PHOTO
    ).expand(prompt=[f"Season {number}" for number in range(6)])
    GptImgGenerateOperator(
        task_id="from_results", prompt="All", output_path=FOLDER + "/all", reference_images=stored.output
    )
    GptImgBatchOperator(
        task_id="batch",
        items="s3://store@pictures/in/items.jsonl",
        output_path=FOLDER + "/batch",
        cache_path="s3://store@pictures/cache",
    )
