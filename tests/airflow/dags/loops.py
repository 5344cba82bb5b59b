"""Task loops (Airflow 3.4): three iterations, in which the second one dies, fails or is refused."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task_group
from dags.faulty import FaultyGenerate

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

FOLDER = "{{ dag_run.conf['folder'] }}"
COMMON = {"poll_interval": 1, "retries": 1, "retry_delay": timedelta(seconds=1)}


@task_group
def drafts():
    """Make the same things in every iteration."""
    one = FaultyGenerate(
        task_id="one", prompt="A fox", conn_id="story_one", output_path=f"{FOLDER}/one", **COMMON
    )
    some = FaultyGenerate.partial(
        task_id="some", conn_id="story_some", output_path=f"{FOLDER}/some", **COMMON
    ).expand(prompt=["red", "green"])
    many = GptImgBatchOperator(
        task_id="many",
        items=["A hare", "A hedgehog"],
        output_path=f"{FOLDER}/many",
        conn_id="story_many",
        **COMMON,
    )
    dies = FaultyGenerate(
        task_id="dies",
        prompt="An owl",
        conn_id="story_dies",
        output_path=f"{FOLDER}/dies",
        stop_at="after_post",
        in_iteration=1,
        **COMMON,
    )
    refused = GptImgGenerateOperator(
        task_id="refused",
        prompt="{{ '[refuse]' if loop.index == 1 else '' }} A badger",
        conn_id="story_refused",
        output_path=f"{FOLDER}/refused",
        **{**COMMON, "retries": 0},
    )
    [one, some, many, dies, refused] >> EmptyOperator(task_id="end", trigger_rule="all_done")


if hasattr(drafts, "loop"):
    with DAG("loops", schedule=None):
        drafts.loop(max_iterations=3)
