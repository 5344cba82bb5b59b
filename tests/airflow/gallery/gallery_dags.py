"""Pictures of every kind, for the gallery: stored, live, mapped, many, refused, slow."""

from __future__ import annotations

import os

import pendulum
from airflow.sdk import DAG, task_group

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

FOLDER = os.environ.get("GALLERY_FOLDER", "/nonexistent")
BEGIN = pendulum.datetime(2026, 1, 1, tz="UTC")
PROMPT = os.environ.get("GALLERY_PROMPT", "Neon koi in a rooftop pond")
SUBJECTS = (
    "a lighthouse in fog",
    "a fox reading the news",
    "tea on the moon",
    "a library under the sea",
    "rain over a night market",
    "a whale above the city",
    "paper boats at dawn",
    "an orchard of clocks",
)
STYLES = (
    "as a woodcut",
    "in gouache",
    "as a paper collage",
    "in neon",
    "as a stained-glass window",
    "in ink",
)

with DAG("gallery", schedule=None, start_date=BEGIN, catchup=False, tags=["gptimg"]):
    GptImgGenerateOperator(
        task_id="cover",
        prompt="Rain over a night market, lanterns and umbrellas",
        size="16:9",
        resolution="4K",
        output_path=FOLDER,
        deferrable=False,
        poll_interval=1,
    )
    GptImgGenerateOperator(task_id="live", prompt=PROMPT, size="3:2", n=2, deferrable=False, poll_interval=1)
    GptImgGenerateOperator(
        task_id="vista",
        prompt="A valley of windmills at noon",
        size="16:9",
        resolution="2K",
        deferrable=False,
        poll_interval=1,
    )
    GptImgGenerateOperator.partial(
        task_id="posters", size="2:3", output_path=FOLDER, deferrable=False, poll_interval=1
    ).expand(prompt=[f"{subject.capitalize()} {STYLES[i % 6]}" for i, subject in enumerate(SUBJECTS)])
    GptImgGenerateOperator(
        task_id="refused", prompt="[fail] What the service does not draw", deferrable=False, poll_interval=1
    )
    GptImgBatchOperator(
        task_id="catalogue",
        items=[
            {
                "prompt": f"{SUBJECTS[i % 8].capitalize()} {STYLES[i % 6]}, no. {i + 1}",
                "size": ("1:1", "3:2", "2:3")[i % 3],
            }
            for i in range(100)
        ],
        output_path=FOLDER,
        deferrable=False,
        poll_interval=1,
    )

with DAG("gallery_slow", schedule=None, start_date=BEGIN, catchup=False, tags=["gptimg"]):
    GptImgGenerateOperator(task_id="slow", prompt="[slow] A cathedral grown from coral", deferrable=True)

with DAG("gallery_slow_batch", schedule=None, start_date=BEGIN, catchup=False, tags=["gptimg"]):
    GptImgBatchOperator(
        task_id="slow_batch",
        items=["A quick fox", "[slow] A slow tortoise", "A quick hare"],
        output_path=FOLDER,
        deferrable=False,
        poll_interval=1,
    )


@task_group
def drafts() -> None:
    """Make drafts until they are good: one, some at once, and a batch."""
    number = "{{ loop.index }}"
    where = f"{FOLDER}/loop/{number}"
    one = GptImgGenerateOperator(
        task_id="draft",
        prompt=f"{SUBJECTS[1].capitalize()}, draft {number}",
        output_path=where,
        deferrable=False,
        poll_interval=1,
    )
    some = GptImgGenerateOperator.partial(
        task_id="posters", size="2:3", output_path=where, deferrable=False, poll_interval=1
    ).expand(prompt=[f"{subject.capitalize()}, poster {number}" for subject in SUBJECTS[:2]])
    many = GptImgBatchOperator(
        task_id="catalogue",
        items=[{"id": f"sku-{i}", "prompt": f"{SUBJECTS[i].capitalize()}, sheet {number}"} for i in range(2)],
        output_path=where,
        deferrable=False,
        poll_interval=1,
    )
    one >> some >> many


if hasattr(drafts, "loop"):  # Airflow 3.4
    with DAG("gallery_loop", schedule=None, start_date=BEGIN, catchup=False, tags=["gptimg"]):
        drafts.loop(max_iterations=2)
