"""A DAG that makes images into assets of every kind, and DAGs that are scheduled on them."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_gptimg.assets import image_asset
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

CARDS = image_asset("s3://aws_default@cards/daily/", extra={"owner": "the card desk"})
FRESH = Asset("fresh_cards")
SENSED = Asset("sensed_cards")
FOLDERS = AssetAlias("card_folders")


def add_campaign(context):
    """What an author does to put something of his own into the event."""
    context["outlet_events"][CARDS].extra = {"campaign": "winter", "model": "the author's"}


with DAG("asset_producer", schedule=None):
    folder = "{{ dag_run.conf['folder'] }}"
    GptImgGenerateOperator(
        task_id="stored",
        prompt="a greeting card",
        n=2,
        output_path=f"{folder}/{{{{ dag_run.conf['day'] }}}}",
        outlets=[CARDS, FOLDERS],
        pre_execute=add_campaign,
    )
    GptImgGenerateOperator(task_id="on_worker", prompt="a fresh card", deferrable=False, outlets=[FRESH])
    submitted = GptImgGenerateOperator(
        task_id="submitted", prompt="a submitted card", wait_for_completion=False, outlets=[Asset("promised")]
    )
    GptImgGenerationSensor(
        task_id="sensed", generation_id=submitted.output, outlets=[Asset.ref(name=SENSED.name)]
    )


@task
def received(*, triggering_asset_events):
    """Return the extras of the events that started this run, by the asset's name."""
    return {
        asset.name: [event.extra for event in events]
        for asset, events in triggering_asset_events.items()
        if isinstance(asset, Asset)
    }


with DAG("asset_consumer", schedule=[CARDS]):
    received()

with DAG("asset_alias_consumer", schedule=FOLDERS):
    received()

with DAG("asset_ref_consumer", schedule=SENSED):
    received()
