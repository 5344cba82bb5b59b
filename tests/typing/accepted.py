"""DAG code as people write it, which type checkers must accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import DAG, literal, task

from airflow_provider_gptimg.decorators.gptimg import gptimg_task
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

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
        reattach="or_fail",
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
