"""A picture a day: the prompt from a template and a table of topics, then a page that shows the picture.

Both go to a folder of the day below the parameter ``folder``. Where workers are on several machines, that
is a bucket such as ``s3://bucket/posters``.
"""

from __future__ import annotations

import html

import pendulum
from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

TOPICS = {
    "Monday": "a lighthouse in a storm",
    "Tuesday": "a market hall at dawn",
    "Wednesday": "a night train in the mountains",
    "Thursday": "a greenhouse in winter",
    "Friday": "a harbour full of kites",
    "Saturday": "a bicycle race in the rain",
    "Sunday": "a picnic on the moon",
}


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    default_args={"retries": 2},
    params={"folder": "file:///tmp/gptimg/posters", "topics": TOPICS},
)
def example_gptimg_content_pipeline():
    # [START howto_operator_generate_output_path]
    poster = GptImgGenerateOperator(
        task_id="poster",
        prompt="A poster of {{ params.topics[dag_run.run_after.strftime('%A')] }}",
        size="2:3",
        output_path="{{ params.folder }}/{{ dag_run.run_after | ds }}",
    )
    # [END howto_operator_generate_output_path]

    @task
    def publish(poster: dict) -> str:
        """Write a page beside the picture, wherever that is stored."""
        picture = ObjectStoragePath(poster["urls"][0])
        prompt = html.escape(poster["prompt"])
        page = picture.parent / "index.html"
        page.write_text(f'<title>{prompt}</title><img src="{picture.name}" alt="{prompt}">\n')
        return str(page)

    publish(poster.output)


example_gptimg_content_pipeline()
