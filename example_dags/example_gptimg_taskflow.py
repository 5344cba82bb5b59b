"""``@task.gptimg``: a function says what to draw, and the task draws it.

The pictures go below the parameter ``folder``. Where workers are on several machines, that is a bucket such
as ``s3://bucket/sale``.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    default_args={"retries": 2},
    params={"folder": "file:///tmp/gptimg/sale", "season": "autumn"},
)
def example_gptimg_taskflow():
    # [START howto_decorator_gptimg]
    @task.gptimg(size="3:2", output_path="{{ params.folder }}/banner")
    def banner(season: str) -> str:
        """Return a prompt."""
        return f"A banner for the {season} sale"

    # [END howto_decorator_gptimg]

    # [START howto_decorator_gptimg_request]
    @task.gptimg(output_path="{{ params.folder }}/stickers")
    def sticker(animal: str) -> dict:
        """Return a prompt and other fields of the request."""
        return {"prompt": f"A sticker of {animal}", "size": "2:3" if animal == "a giraffe" else "1:1"}

    # [END howto_decorator_gptimg_request]

    @task
    def collect(banner_urls: list[str], stickers: list[dict]) -> list[str]:
        return [*banner_urls, *(url for sticker in stickers for url in sticker["urls"])]

    collect(banner("{{ params.season }}")["urls"], sticker.expand(animal=["a fox", "a giraffe"]))


example_gptimg_taskflow()
