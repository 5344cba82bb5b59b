"""Make images: one by itself, three from a list of prompts, and hand their URLs downstream."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False, tags=["gptimg"])
def example_gptimg_basic():
    # [START howto_operator_generate]
    cover = GptImgGenerateOperator(
        task_id="cover",
        prompt="Rain over a night market",
        size="16:9",
        resolution="2K",
        retries=2,
    )
    # [END howto_operator_generate]

    # [START howto_operator_generate_mapped]
    posters = GptImgGenerateOperator.partial(task_id="posters", size="2:3", retries=2).expand(
        prompt=["A teapot orbiting the moon", "A library under the sea", "A fox reading the news"]
    )
    # [END howto_operator_generate_mapped]

    @task
    def collect(cover_urls: list[str], posters: list[dict]) -> list[str]:
        """Downstream gets real lists and dicts."""
        return [*cover_urls, *(image["url"] for poster in posters for image in poster["images"])]

    collect(cover.output["urls"], posters.output)


example_gptimg_basic()
