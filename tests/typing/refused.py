"""Mistakes that type checkers must refuse: every line that ends with "mistake", and no other."""

from __future__ import annotations

from airflow.sdk import task

from airflow_provider_gptimg.decorators.gptimg import gptimg_task


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
gptimg_task(reattach="never")  # mistake
gptimg_task(on_ambiguous_submit="pray")  # mistake
gptimg_task(multiple_outputs="urls")  # mistake
gptimg_task(extra_body=["quality"])  # mistake
gptimg_task("A fox")  # mistake
