"""Images that people decide on: stored, live, mapped, of a batch, given by their addresses."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, task
from airflow.sdk.bases.notifier import BaseNotifier

from airflow_provider_gptimg.compat.human_input import HAS_HUMAN_INPUT
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.review import GptImgReviewOperator

FOLDER = os.environ.get("GALLERY_FOLDER", "/nonexistent")
BEGIN = pendulum.datetime(2026, 1, 1, tz="UTC")
QUICK: dict[str, Any] = {"deferrable": False, "poll_interval": 1}


class NotesTheLink(BaseNotifier):
    """Stands for what writes to people: it writes the link into a file."""

    def notify(self, context: Any) -> None:
        """Write it."""
        link = GptImgReviewOperator.generate_link_to_ui_from_context(context=context)
        Path(FOLDER.removeprefix("file://"), "link.txt").write_text(link)


@task
def publish(urls: list[str]) -> list[str]:
    """Stand for whatever comes next."""
    return urls


if HAS_HUMAN_INPUT:
    with DAG("gallery_choose", schedule=None, start_date=BEGIN, catchup=False):
        drafts = GptImgGenerateOperator(
            task_id="drafts",
            prompt="A *lighthouse* in [snow](x) | <b>winter</b>",
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
            subject="Two covers for {{ dag.dag_id }}",
            body="For the **winter** issue.",
            notifiers=[NotesTheLink()],
        )
        publish(chosen.output["urls"])

    with DAG("gallery_approve", schedule=None, start_date=BEGIN, catchup=False):
        live = GptImgGenerateOperator(task_id="live", prompt="Tea on the moon", n=2, resolution="2K", **QUICK)
        approved = GptImgReviewOperator(
            task_id="approve", images=live.output, assigned_users=[{"id": "editor", "name": "editor"}]
        )
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
        GptImgReviewOperator(
            task_id="mapped", images=posters.output, mode="choose", most=1, on_reject="fail", retries=3
        )
        GptImgReviewOperator(task_id="many", images=batch.output, mode="choose")
        GptImgReviewOperator(task_id="addresses", images=posters.output["urls"])
        stored = GptImgGenerateOperator(
            task_id="stored", prompt="A fox reading the news", output_path=f"{FOLDER}/files", **QUICK
        )
        GptImgReviewOperator(task_id="files", images=stored.output["urls"])
        GptImgReviewOperator(
            task_id="late",
            images=[posters.output, batch.output],
            mode="choose",
            defaults=[1, 3],
            response_timeout=timedelta(seconds=20),
        )
        GptImgReviewOperator(task_id="never", images=posters.output, response_timeout=timedelta(seconds=20))
        GptImgReviewOperator.partial(task_id="each").expand(images=posters.output)
        GptImgReviewOperator(task_id="too_few", images=posters.output, mode="choose", least=4)
