"""What only a real Airflow shows of ``@task.gptimg``; functions note their calls in the run's folder."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task

AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=1)}


def note(context, said=""):
    ti = context["ti"]
    with Path(context["dag_run"].conf["folder"], f"{ti.task_id}.{ti.map_index}").open("a") as file:
        file.write(f"{os.getpid()} {said}\n")


def unlike_the_last(**context):
    """Returns another prompt each time, as a language model does."""
    prompt = f"A fox of {context['ti'].task_id}. {uuid.uuid4()}"
    if context["ti"].task_id == "killed_waiting":
        prompt = f"[slow] {prompt}"
    note(context, prompt)
    return prompt


def without_memory(context):
    """Leaves the task as it is before Airflow 3.3."""
    context.pop("task_state_store", None)


with DAG("taskflow", schedule=None, params={"colour": "red"}, default_args=AGAIN):

    @task.gptimg(end_from_trigger=False)
    def single(params=None, ti=None, **context):
        note({**context, "ti": ti})
        return f"[slow] A {params['colour']} fox of {{{{ dag.dag_id }}}}, {ti.task_id}" + "." * 500

    @task
    def animals():
        return ["fox", "whale"]

    @task.gptimg(size="3:2", end_from_trigger=False)
    def mapped(animal, colour, **context):
        note(context)
        return {"prompt": f"A {colour} {animal}", "n": 2}

    @task
    def see(urls, results):
        return [[len(mapped) for mapped in urls], [result["prompt"] for result in results]]

    @task.gptimg(multiple_outputs=True)
    def outputs(animal: str) -> dict:
        return {"prompt": f"A {animal}"}

    @task.gptimg(output_path="{{ dag_run.conf['folder'] }}/declared")
    def stored(**context):
        note(context)
        return {"prompt": "A harbour", "output_path": "{{ dag_run.conf['folder'] }}/returned"}

    single()
    each = mapped.partial(colour="blue").expand(animal=animals())
    see(each["urls"], each)
    see.override(task_id="see_outputs")([outputs("parrot")["urls"]], [])
    stored()
    for name, options in {
        "killed_waiting": {"deferrable": False},
        "killed_in_post": {},
        "killed_forgetful": {"pre_execute": without_memory},
        "cleared": {},
    }.items():
        task.gptimg(task_id=name, conn_id=f"story_{name}", **options)(unlike_the_last)()
