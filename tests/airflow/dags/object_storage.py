"""Files in and out of a bucket, in every way at once: mapped, from files, from results, downloaded."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator

FOLDER = "s3://store@pictures/{{ dag_run.conf['run'] }}"

with DAG(
    "object_storage",
    schedule=None,
    default_args={"retries": 8, "retry_delay": 1},
    max_active_tasks=64,
):
    uploaded = GptImgUploadOperator(task_id="uploaded", files="s3://store@pictures/in/photo.png")
    made = GptImgGenerateOperator.partial(task_id="made", output_path=FOLDER + "/made").expand(
        prompt=[f"Picture {number}" for number in range(6)]
    )
    GptImgGenerateOperator.partial(
        task_id="from_file",
        output_path=FOLDER + "/from_file",
        reference_images="s3://store@pictures/in/photo.png",
        file_name="{map_index}-{index}",
        n=2,
    ).expand(prompt=["spring", "summer", "autumn"])
    GptImgGenerateOperator.partial(
        task_id="from_url", output_path=FOLDER + "/from_url", reference_images=uploaded.output["urls"]
    ).expand(prompt=["left", "right"])
    GptImgGenerateOperator(
        task_id="from_results", prompt="All", output_path=FOLDER + "/all", reference_images=made.output
    )
    submitted = GptImgGenerateOperator(task_id="submitted", prompt="Later", wait_for_completion=False)
    GptImgDownloadOperator(task_id="kept", generation_id=submitted.output, output_path=FOLDER + "/kept")

    @task.gptimg(output_path=FOLDER + "/drawn")
    def drawn(animal: str) -> str:
        import random

        return f"{animal} {random.random()}"

    drawn.expand(animal=["fox", "bear", "owl"])
