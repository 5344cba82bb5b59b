"""Mistakes that type checkers must refuse: every line that ends with "mistake", and no other."""

from __future__ import annotations

from airflow.sdk import task

from airflow_provider_gptimg.assets import image_asset
from airflow_provider_gptimg.decorators.gptimg import gptimg_task
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.download import GptImgDownloadOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor


@gptimg_task  # mistake
def number() -> int:
    return 7


@gptimg_task(size="3:2")  # mistake
def nothing() -> None:
    return None


@gptimg_task
def draw(animal: str) -> str:
    return f"A {animal}"


@task.gptimg
def by_name(animal: str) -> str:
    return f"A {animal}"


draw(7)  # mistake
draw()  # mistake
draw("fox", colour="red")  # mistake
draw("fox")[0]  # mistake
draw.expand(animal=7)  # mistake
draw.expand_kwargs({"animal": "fox"})  # mistake
draw.apply()  # mistake
by_name(7)  # mistake
by_name.apply()  # mistake

gptimg_task(size=16)  # mistake
gptimg_task(n=1.5)  # mistake
gptimg_task(timeout="30")  # mistake
gptimg_task(deferrable="yes")  # mistake
gptimg_task(on_clear="never")  # mistake
gptimg_task(on_ambiguous_submit="pray")  # mistake
gptimg_task(multiple_outputs="urls")  # mistake
gptimg_task(extra_body=["quality"])  # mistake
gptimg_task("A fox")  # mistake

GptImgGenerateOperator(task_id="card")  # mistake
GptImgGenerateOperator("A card", task_id="card")  # mistake
GptImgGenerateOperator(task_id="card", prompt=7)  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card", n=1.5)  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card", deferrable="yes")  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card", on_clear="never")  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card", on_ambiguous_submit="pray")  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card", timeout="30 min")  # mistake
GptImgGenerateOperator(task_id="card", prompt="A card").output[0]  # mistake
GptImgBatchOperator(task_id="batch", items=7, output_path="/data")  # mistake
GptImgBatchOperator(task_id="batch", items=["A fox"])  # mistake
GptImgBatchOperator(task_id="batch", items=["A fox"], output_path="/data", on_item_error="no")  # mistake
GptImgGenerationSensor(task_id="wait")  # mistake
GptImgGenerationSensor(task_id="wait", generation_id=7)  # mistake
GptImgDownloadOperator(task_id="keep", generation_id="task_img_1")  # mistake
GptImgHook().submit(size="3:2")  # mistake
GptImgHook().wait("task_img_1", timeout="30 min")  # mistake
image_asset(7)  # mistake
