"""One DAG for each way to use ``@task.gptimg``; the service's behaviour is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import DAG, task

from tests.support.airflow_versions import error_of, literal

calls: list[Any] = []
"""What the functions were called with."""

failures: list[BaseException] = []
"""The exceptions of the tasks that failed."""

before_retry: list[Callable[[], None]] = []
"""What happens before a retry."""

WRONG: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "bytes": b"A fox",
    "a list": ["A fox", "A whale"],
    "an empty prompt": " ",
    "no prompt": {"size": "16:9"},
    "an unknown field": {"prompt": "A fox", "colour": "red"},
    "another connection": {"prompt": "A fox", "conn_id": "other"},
    "a wrong field": {"prompt": "A fox", "size": "17:3"},
    "a wrong place": {"prompt": "A fox", "output_path": 7},
    "a template of nothing": "A {{ unheard_of }}",
    "no template": "A {% fox",
    "a very long list": ["A fox"] * 1000,
    "no picture": {"prompt": "A fox", "reference_images": None},
    "no folder": {"prompt": "A fox", "output_path": "{{ none }}"},
    "no model": {"prompt": "A fox", "model": None},
}

QUICK: dict[str, Any] = {
    "poll_interval": 0.1,
    "timeout": 1.5,
    "retries": 0,
    "on_failure_callback": lambda context: failures.append(error_of(context)),
    "on_retry_callback": lambda context: [happen() for happen in before_retry],
}

dags: dict[str, DAG] = {}


@contextmanager
def way(name: str, **arguments: Any) -> Iterator[None]:
    with DAG(f"taskflow_{name}", schedule=None, **{"default_args": QUICK, **arguments}) as dag:
        yield
    dags[name] = dag


with way("bare"):

    @task.gptimg
    def draw():
        """Says what to draw."""
        calls.append(())
        return "A fox"

    draw()


with way("no_json"):

    @task.gptimg
    def draw():
        return {"prompt": "A fox", "extra_body": {"seen": {1, 2}}}

    draw()


def declared(animal):
    calls.append(animal)
    return f"A {animal}"


def another():
    """Returns another prompt each time, as a language model does."""
    calls.append(())
    return f"A fox, number {len(calls)}"


def without_memory(context):
    """Leaves the task as it is before Airflow 3.3."""
    context.pop("task_state_store", None)


@task
def upstream():
    return "whale"


with way("arguments"):
    task.gptimg(size="16:9", resolution="2K", n=2, model="{{ 'gpt-image-2' }}")(declared)("fox")

with way("request", render_template_as_native_obj=True):

    @task.gptimg(size="3:2", resolution="2K", n=1)
    def draw():
        return {"prompt": "A fox", "size": "16:9", "n": "{{ 1 + 1 }}", "extra_body": {"quality": "high"}}

    draw()

with way("templates", params={"colour": "red"}):

    @task.gptimg
    def draw(animal):
        return {"prompt": "A {{ params.colour }} {{ animal }}", "size": literal("{{ size }}")}

    draw(animal="fox")

with way("literal"):

    @task.gptimg
    def draw():
        return literal("How to write {{ braces }}")

    draw()

with way("context", params={"colour": "red"}):

    @task.gptimg
    def draw(animal, ds=None, params=None, ti=None, **context):
        calls.append((animal, ds, dict(params), ti.task_id, context["dag"].dag_id))
        return "A fox"

    draw("fox")

with way("shadow"):

    @task.gptimg
    def draw(ds=None):
        calls.append(ds)
        return "{{ ds }} and {{ dag.dag_id }}"

    draw(ds="yesterday")

with way("upstream"):
    drawn = task.gptimg(task_id="draw")(declared)(upstream())

    @task
    def downstream(urls, result):
        calls.append((urls, result["prompt"]))

    downstream(drawn["urls"], drawn)

with way("mapped"):
    task.gptimg(declared).override(task_id="expanded").expand(animal=["fox", "whale"])

    @task.gptimg(size="3:2")
    def combined(animal, colour):
        return f"A {colour} {animal}"

    combined.partial(colour="red").expand(animal=["fox", "whale"])
    combined.override(task_id="by_kwargs").expand_kwargs([{"animal": "fox", "colour": "blue"}])

with way("annotated"):

    @task.gptimg
    def draw() -> dict[str, Any]:
        return {"prompt": "A fox"}

    draw()

with way("multiple_outputs"):
    task.gptimg(multiple_outputs=True)(declared)("fox")

with way("multiple_outputs_at_once"):
    task.gptimg(multiple_outputs=True, wait_for_completion=False)(declared)("fox")

with way("multiple_outputs_of_none"):
    task.gptimg(multiple_outputs=True, do_xcom_push=False)(declared)("fox")

with way("wrong"):

    @task.gptimg
    def draw(params=None, dag_run=None):
        return WRONG[dag_run.conf["name"]]

    draw()

with way("coroutine"):

    @task.gptimg
    async def draw():
        await asyncio.sleep(0)
        return "A fox"

    draw()

with way("coroutines"):

    @task.gptimg
    async def draw(animal, ds=None):
        await asyncio.sleep(0)
        return animal if animal == 7 else {"prompt": f"A {animal}"}

    draw.expand(animal=["fox", "whale", 7])

with way("raises", default_args={**QUICK, "retries": 1, "retry_delay": 0}):

    @task.gptimg
    def draw():
        calls.append(())
        raise LookupError("no idea today")

    draw()

for name, options in {
    "sync": {"deferrable": False},
    "deferred": {"end_from_trigger": False},
    "ended": {},
}.items():
    with way(name):
        task.gptimg(task_id="draw", **options)(another)()
    again = {**QUICK, "retries": 1, "retry_delay": 0}
    with way(f"{name}_retried", default_args=again):
        task.gptimg(task_id="draw", **options)(another)()
    with way(f"{name}_forgetful", default_args=again):
        task.gptimg(task_id="draw", pre_execute=without_memory, **options)(another)()

with way("wrong_again", default_args={**QUICK, "retries": 1, "retry_delay": 0}):

    @task.gptimg(deferrable=False)
    def draw():
        calls.append(())
        return "A fox" if len(calls) == 1 else None

    draw()

for name, options in {"stored": {}, "stored_forgetful": {"pre_execute": without_memory}}.items():
    with way(name):

        @task.gptimg(output_path="{{ dag_run.conf['folder'] }}/declared", **options)
        def draw():
            calls.append(())
            return {"prompt": "A fox", "output_path": "{{ dag_run.conf['folder'] }}/returned"}

        draw()
