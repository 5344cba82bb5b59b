"""DAG code as people write it, which type checkers must accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import DAG, literal, task

from airflow_provider_gptimg.assets import image_asset
from airflow_provider_gptimg.decorators.gptimg import gptimg_task
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

with DAG("accepted") as dag:

    @gptimg_task
    def bare(animal: str, ds: str | None = None) -> str:
        return f"A {animal}, {ds}"

    @gptimg_task()
    def empty_brackets() -> str:
        return "A fox"

    @gptimg_task(
        size="16:9",
        resolution="2K",
        n="{{ params.n }}",
        output_path="s3://covers/{{ ds }}/",
        retries=2,
        pool="images",
        multiple_outputs=True,
        on_clear="continue",
        on_expired="fail",
    )
    def request(animal: Any, **context: Any) -> dict[str, Any]:
        return {"prompt": f"A {animal}", "n": 2}

    @gptimg_task(reference_images=bare("fox")["urls"])
    def from_images() -> Mapping[str, object]:
        return {"prompt": literal("{{ as it is }}"), "extra_body": {"quality": "high"}}

    @task.run_if(lambda context: True)
    @gptimg_task
    def conditional(animal: str) -> str:
        return f"A {animal}"

    @task.gptimg
    def by_name(animal: str) -> str:
        return f"A {animal}"

    @task.gptimg(size="3:2", output_path="s3://covers/")
    def by_name_with_arguments(animal: str) -> dict[str, str]:
        return {"prompt": f"A {animal}"}

    @task
    def publish(urls: Any) -> None:
        print(urls)

    @task
    def animals() -> list[str]:
        return ["fox", "whale"]

    publish(bare("fox")["urls"])
    publish(bare.override(task_id="another", retries=3)("whale", ds=None)["images"])
    publish(bare.expand(animal=animals())["urls"])
    publish(request.partial(colour="red").expand(animal=["fox", "whale"])["urls"])
    publish(bare.expand_kwargs([{"animal": "fox"}]))
    publish(request(animals()))
    publish(conditional("fox")["urls"])
    publish(by_name("fox"))
    publish(by_name_with_arguments.expand(animal=["fox"]))

    start = GptImgGenerateOperator(task_id="start", prompt="A door")
    start >> empty_brackets() >> from_images()

    prompt: str = bare.function("fox")

with DAG("operators"):
    photo = GptImgUploadOperator(task_id="photo", files=["/data/photo.png"])
    card = GptImgGenerateOperator(
        task_id="card",
        prompt="A card, {{ ds }}",
        n="{{ params.n }}",
        reference_images=[photo.output["urls"], "s3://bucket/photo.jpg"],
        extra_body={"quality": "high"},
        output_path="s3://bucket/{{ ds }}/",
        outlets=[image_asset("s3://bucket/cards")],
        on_clear="continue",
        on_expired="fail",
        on_ambiguous_submit="fail",
        retries=3,
    )
    publish(card.output["urls"])

    submitted = GptImgGenerateOperator(task_id="submitted", prompt="A card", wait_for_completion=False)
    waited = GptImgGenerationSensor(
        task_id="waited", generation_id=submitted.output, mode="reschedule", soft_fail=True
    )
    GptImgDownloadOperator(
        task_id="kept", generation_id=waited.output["generation_id"], output_path="/data/cards"
    )
    GptImgGenerateOperator.partial(task_id="mapped", size="2:3").expand(prompt=animals())

    catalogue = GptImgBatchOperator(
        task_id="catalogue",
        items=animals(),
        output_path="s3://bucket/catalogue",
        on_item_error="continue",
        max_failed_items=20,
    )
    GptImgBatchOperator(
        task_id="listed",
        items=["A fox", {"prompt": "A bear", "n": 2, "id": "sku-7"}],
        output_path="/data/catalogue",
    )
    publish(catalogue.output["manifest"])

    @task
    def in_python() -> list[str]:
        hook = GptImgHook("gptimg_default")
        generation = hook.submit("A card", size="3:2", n=2)
        print(hook.balance().key_usd)
        return list(hook.wait(generation.id, poll_interval=2.0).urls)

    in_python()
