"""Make many images in one task, from a list that another task hands on, and read the manifest."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={"folder": "file:///tmp/gptimg/batch"},
    tags=["gptimg"],
)
def example_gptimg_batch():
    @task
    def products() -> list[dict]:
        return [
            {"id": f"sku-{number}", "prompt": f"{thing} on white, studio light"}
            for number, thing in enumerate(["A teapot", "A lamp", "A chair", "A kite"])
        ]

    # [START howto_operator_batch]
    pictures = GptImgBatchOperator(
        task_id="pictures",
        items=products(),
        size="3:2",
        output_path="{{ params.folder }}",
        on_item_error="continue",
        max_failed_items=2,
        retries=2,
    )
    # [END howto_operator_batch]

    # [START howto_operator_batch_manifest]
    @task
    def catalogue(manifest: str) -> dict[str, str]:
        """Return where each product's picture lies; the manifest has a line for each item."""
        import json

        from airflow.sdk import ObjectStoragePath

        with ObjectStoragePath(manifest).open() as lines:
            made = [json.loads(line) for line in lines]
        return {line["id"]: line["uris"][0] for line in made if line["status"] == "completed"}

    catalogue(pictures.output["manifest"])
    # [END howto_operator_batch_manifest]


example_gptimg_batch()
