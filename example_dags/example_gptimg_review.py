"""A winter cover: four drafts, a person chooses one, and only that one is published."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import ObjectStoragePath, Param, dag, task, task_group

from airflow_provider_gptimg.compat.human_input import HAS_HUMAN_INPUT
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.review import GptImgReviewOperator

PROMPT = "A winter cover: a lighthouse in the first snow"
COMMON = {
    "schedule": None,
    "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"),
    "catchup": False,
    "tags": ["gptimg"],
    "params": {"folder": Param("file:///tmp/gptimg/covers", type="string")},
}


@task
def publish(urls: list[str], folder: str) -> str:
    """Copy the chosen one to where the magazine takes its cover from."""
    cover = ObjectStoragePath(folder) / "cover.png"
    cover.parent.mkdir(parents=True, exist_ok=True)
    cover.write_bytes(ObjectStoragePath(urls[0]).read_bytes())
    return str(cover)


@dag(**COMMON)
def example_gptimg_review():
    # [START howto_operator_review]
    drafts = GptImgGenerateOperator(
        task_id="drafts",
        prompt=PROMPT,
        n=4,
        output_path="{{ params.folder }}/drafts/{{ run_id }}/",
        retries=2,
    )
    choose = GptImgReviewOperator(
        task_id="choose",
        images=drafts.output,
        mode="choose",
        most=1,
        subject="The cover of the winter issue",
        body="It is printed in **portrait**, with the title at the top.",
        response_timeout=timedelta(days=2),
        retries=2,
    )
    publish(choose.output["urls"], "{{ params.folder }}")
    # [END howto_operator_review]


# [START howto_operator_review_loop]
@task_group
def until_approved():
    """Make a draft and look at it; the gate of the loop reads what the last task returned."""
    place = "{{ params.folder }}/loop/{{ loop.index }}/"
    draft = GptImgGenerateOperator(task_id="draft", prompt=PROMPT, output_path=place, retries=2)
    GptImgReviewOperator(task_id="look", images=draft.output, retries=2)


@dag(**COMMON)
def example_gptimg_review_loop():
    made = until_approved.loop(max_iterations=5, until=lambda loop: loop.result["decision"] == "approved")
    # Outside the loop there is one value for each time round. If the last was rejected, it has no image.
    made >> publish(["{{ ti.xcom_pull('until_approved.look', key='urls')[-1][0] }}"], "{{ params.folder }}")


# [END howto_operator_review_loop]


if HAS_HUMAN_INPUT:  # Airflow 3.1
    example_gptimg_review()
if hasattr(until_approved, "loop"):  # Airflow 3.4
    example_gptimg_review_loop()
