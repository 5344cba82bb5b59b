"""Pictures from pictures: start from a file, or upload files once and start from them several times.

The parameters ``photo`` and ``background`` name PNG, JPEG, WebP or GIF files of at most 10 MB: local paths
or URIs such as ``s3://bucket/photo.jpg``.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["gptimg"],
    default_args={"retries": 2},
    params={
        "photo": "file:///tmp/gptimg/photo.png",
        "background": "file:///tmp/gptimg/background.png",
        "folder": "file:///tmp/gptimg/variants",
    },
)
def example_gptimg_image_to_image():
    # [START howto_operator_generate_reference_images]
    GptImgGenerateOperator(
        task_id="watercolour",
        prompt="The same as a watercolour",
        reference_images="{{ params.photo }}",
        output_path="{{ params.folder }}",
    )
    # [END howto_operator_generate_reference_images]

    # [START howto_operator_upload]
    upload = GptImgUploadOperator(task_id="upload", files=["{{ params.photo }}", "{{ params.background }}"])

    GptImgGenerateOperator.partial(
        task_id="seasons",
        size="3:2",
        reference_images=upload.output["urls"],
        output_path="{{ params.folder }}",
    ).expand(prompt=["Both in spring", "Both in autumn", "Both in winter"])
    # [END howto_operator_upload]


example_gptimg_image_to_image()
