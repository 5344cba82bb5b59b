"""Submit a picture, do something else while it is made, wait for it later, and store it then.

The picture goes to the parameter ``folder``. Where workers are on several machines, that is a bucket such
as ``s3://bucket/covers``.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    default_args={"retries": 2},
    params={"folder": "file:///tmp/gptimg/covers"},
)
def example_gptimg_submit_then_sense():
    # [START howto_operator_generate_submit]
    submit = GptImgGenerateOperator(
        task_id="submit",
        prompt="A cover for a book about bridges",
        size="2:3",
        wait_for_completion=False,
    )
    # [END howto_operator_generate_submit]

    @task
    def write_blurb() -> str:
        """Whatever can be done while the picture is made."""
        return "Forty bridges, and who crossed them."

    # [START howto_sensor_generation]
    sense = GptImgGenerationSensor(task_id="sense", generation_id=submit.output)
    # [END howto_sensor_generation]

    # [START howto_operator_download]
    download = GptImgDownloadOperator(
        task_id="download",
        generation_id=sense.output,
        output_path="{{ params.folder }}",
        file_name="cover-{{ dag_run.run_after | ds_nodash }}-{identity}",
    )
    # [END howto_operator_download]

    submit >> write_blurb() >> sense >> download


example_gptimg_submit_then_sense()
