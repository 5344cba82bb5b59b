"""Images that people decide on: stored, live, mapped, of a batch, addresses."""

from __future__ import annotations

import os
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.review import GptImgReviewOperator

FOLDER = os.environ.get("GALLERY_FOLDER", "/nonexistent")
BEGIN = pendulum.datetime(2026, 1, 1, tz="UTC")
QUICK = {"deferrable": False, "poll_interval": 1}


@task
def publish(urls: list[str]) -> list[str]:
    """Stand for whatever comes next."""
    return urls


with DAG("gallery_choose", schedule=None, start_date=BEGIN, catchup=False):
    drafts = GptImgGenerateOperator(
        task_id="drafts",
        prompt="A *lighthouse* in [snow](https://example.org) | <b>winter</b>",
        n=4,
        output_path=f"{FOLDER}/choose",
        **QUICK,
    )
    chosen = GptImgReviewOperator(
        task_id="choose",
        images=drafts.output,
        mode="choose",
        least=2,
        most=2,
        body="For the **winter** issue.",
    )
    publish(chosen.output["urls"])

with DAG("gallery_approve", schedule=None, start_date=BEGIN, catchup=False):
    live = GptImgGenerateOperator(task_id="live", prompt="Tea on the moon", n=2, **QUICK)
    approved = GptImgReviewOperator(task_id="approve", images=live.output)
    publish(approved.output["urls"])

with DAG("gallery_review_all", schedule=None, start_date=BEGIN, catchup=False):
    posters = GptImgGenerateOperator.partial(task_id="posters", size="2:3", **QUICK).expand(
        prompt=["A fox", "An owl", "A hen"]
    )
    batch = GptImgBatchOperator(
        task_id="batch",
        items=[{"id": f"sku-{i}", "prompt": f"Sheet {i}"} for i in range(150)],
        output_path=f"{FOLDER}/sheets",
        **QUICK,
    )
    GptImgReviewOperator(task_id="mapped", images=posters.output, mode="choose", most=1, on_reject="fail")
    GptImgReviewOperator(task_id="many", images=batch.output, mode="choose")
    GptImgReviewOperator(task_id="addresses", images=posters.output["urls"])
    GptImgReviewOperator(
        task_id="late",
        images=[posters.output, batch.output],
        mode="choose",
        defaults=[1, 3],
        response_timeout=timedelta(seconds=1),
    )
