"""Rows from SQL, a picture in storage for each, and a manifest row in SQL for each picture.

Set the parameter ``conn_id`` to an SQLite or PostgreSQL connection whose database has a table ``products``
with the columns ``id`` and ``name``. Only products without a picture get one, so every run carries on where
the last one ended.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import dag, task, task_group

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

CONN_ID = "{{ params.conn_id }}"
CREATE_MANIFEST = """
    CREATE TABLE IF NOT EXISTS pictures (
        product_id INTEGER PRIMARY KEY, generation_id TEXT, uri TEXT, sha256 TEXT
    )
"""
WITHOUT_PICTURE = """
    SELECT id, name FROM products WHERE id NOT IN (SELECT product_id FROM pictures) ORDER BY id
"""


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    default_args={"retries": 2},
    params={"conn_id": "sqlite_default", "folder": "file:///tmp/gptimg/products"},
)
def example_gptimg_etl():
    create_manifest = SQLExecuteQueryOperator(task_id="create_manifest", conn_id=CONN_ID, sql=CREATE_MANIFEST)

    @task
    def extract(conn_id: str) -> list[dict]:
        rows = DbApiHook.get_hook(conn_id).get_records(WITHOUT_PICTURE)
        return [{"product_id": row[0], "prompt": f"A catalogue picture of {row[1]}"} for row in rows]

    # [START howto_operator_generate_mapped_group]
    @task_group
    def illustrate(product_id: int, prompt: str):
        picture = GptImgGenerateOperator(
            task_id="picture", prompt=prompt, size="3:2", output_path="{{ params.folder }}"
        )
        load(CONN_ID, product_id, picture.output)

    # [END howto_operator_generate_mapped_group]

    @task
    def load(conn_id: str, product_id: int, picture: dict) -> None:
        image = picture["images"][0]
        DbApiHook.get_hook(conn_id).insert_rows(
            table="pictures",
            target_fields=["product_id", "generation_id", "uri", "sha256"],
            rows=[(product_id, picture["generation_id"], image["uri"], image["sha256"])],
            replace=True,
            replace_index=["product_id"],
        )

    products = extract(CONN_ID)
    create_manifest >> products
    illustrate.expand_kwargs(products)


example_gptimg_etl()
