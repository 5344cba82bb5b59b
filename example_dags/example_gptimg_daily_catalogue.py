"""A catalogue that runs every day and pays for what changed: a table in, pictures and a contact sheet out."""

from __future__ import annotations

import html
import json

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator

# [START howto_daily_catalogue]
with DAG(
    "example_gptimg_daily_catalogue",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    params={"folder": Param("s3://shop/catalogue", description="A folder with products.csv")},
):
    pictures = GptImgBatchOperator(
        task_id="pictures",
        items="{{ params.folder }}/products.csv",  # sku,text,size
        columns={"id": "sku", "prompt": "text"},
        output_path="{{ params.folder }}/{{ dag_run.run_after | ts_nodash }}/",
        file_name="{id}",
        cache_path="{{ params.folder }}/cache/",
        max_cost_usd=20,
        retries=2,
    )

    @task
    def contact_sheet(manifest: str) -> str:
        """Write a page with all pictures, beside them."""
        items = [json.loads(line) for line in ObjectStoragePath(manifest).read_text().splitlines()]
        figures = [
            f'<figure><img src="{uri.rpartition("/")[2]}" width="240">'
            f"<figcaption>{html.escape(item['id'])}{'' if item['cached'] else ' (new)'}</figcaption></figure>"
            for item in items
            for uri in item["uris"]
        ]
        page = ObjectStoragePath(manifest.rpartition("/")[0]) / "index.html"
        page.write_text("<!doctype html>\n" + "\n".join(figures))
        return str(page)

    contact_sheet(pictures.output["manifest"])
# [END howto_daily_catalogue]
