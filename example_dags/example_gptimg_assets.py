"""Two DAGs and an asset: one makes pictures, the other starts when there are new ones and reads which.

The asset is the folder. A run may be given another ``folder`` to store to; the event says where the
pictures really are.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_gptimg.assets import image_asset
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

FOLDER = "file:///tmp/gptimg/postcards"

# [START howto_asset]
postcards = image_asset(FOLDER)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    params={"folder": FOLDER},
)
def example_gptimg_assets():
    GptImgGenerateOperator(
        task_id="postcard",
        prompt="A postcard from the sea, {{ dag_run.run_after | ds }}",
        size="3:2",
        output_path="{{ params.folder }}/{{ dag_run.run_after | ds }}",
        outlets=[postcards],
        retries=2,
    )


@dag(
    schedule=[postcards],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
)
def example_gptimg_assets_consumer():
    @task
    def announce(triggering_asset_events=None) -> list[str]:
        """Say what is new; ``extra`` also has ``generation_id``, ``sha256`` and more."""
        news = [event.extra for event in triggering_asset_events[postcards]]
        return [f"{extra['prompt']}: {uri}" for extra in news for uri in extra["uris"]]

    announce()


# [END howto_asset]
example_gptimg_assets()
example_gptimg_assets_consumer()
