"""Where a task ends: what an argument asks for is safe in the triggerer, or the task is resumed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator, Context, task
from airflow.sdk.bases.sensor import BaseSensorOperator

from airflow_provider_gptimg.compat.xcom import writes_from_triggerer
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor
from airflow_provider_gptimg.tasks.ending import left_for_a_worker

pytestmark = pytest.mark.skipif(
    not writes_from_triggerer(), reason="This Airflow cannot write XComs from the triggerer"
)


def do_nothing(*args: Any) -> None:
    """Be called back."""


RESUMES: dict[str, Any] = {
    "do_xcom_push": False,
    "map_index_template": "{{ task.prompt }}",
    "multiple_outputs": True,
    "on_success_callback": do_nothing,
    "outlets": [Asset("covers")],
    "post_execute": do_nothing,
}
"""What only a worker does, and a value of it."""

SAFE = {
    "says what the task is": (
        "task_id owner doc doc_md doc_json doc_yaml doc_rst task_display_name logger_name params inlets "
        "email resources sla"
    ),
    "belongs to the DAG": "dag task_group default_args start_date end_date",
    "is for the scheduler, before the task starts": (
        "depends_on_past ignore_first_depends_on_past wait_for_past_depends_before_skipping "
        "wait_for_downstream priority_weight weight_rule queue pool pool_slots trigger_rule "
        "max_active_tis_per_dag max_active_tis_per_dagrun executor executor_config run_as_user"
    ),
    "is done by the worker that submits": "pre_execute on_execute_callback render_template_as_native_obj",
    "is for a task that fails: then it is resumed": (
        "retries retry_delay retry_exponential_backoff max_retry_delay retry_policy email_on_retry "
        "email_on_failure on_failure_callback on_retry_callback"
    ),
    "is for a task that is skipped, which only a worker does": "on_skipped_callback",
    "goes into the trigger's deadline": "execution_timeout",
    "is about execute() within execute()": "allow_nested_operators",
    "is for a sensor that pokes, and in its trigger's schedule and deadline": (
        "poke_interval timeout mode exponential_backoff max_wait silent_fail"
    ),
    "is for a sensor that fails: then it is resumed": "soft_fail never_fail",
}
"""Why an argument loses nothing."""


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("ending", schedule=None) as dag:
        yield dag


@pytest.mark.parametrize("base", [BaseOperator, BaseSensorOperator])
def test_every_argument_of_an_operator_was_thought_of(base: type) -> None:
    arguments = {*inspect.signature(base.__init__).parameters} - {"self", "kwargs"}
    safe = " ".join(SAFE.values()).split()
    assert len(safe) == len(set(safe))
    unknown = arguments - set(safe) - set(RESUMES)
    assert not unknown, (
        "say in SAFE why a task with it may end in its triggerer, or add it to tasks/ending.py"
    )


@pytest.mark.parametrize("argument", RESUMES)
def test_a_task_with_work_left_is_resumed(argument: str) -> None:
    operator = GptImgGenerateOperator(task_id="o", prompt="A fox", **{argument: RESUMES[argument]})
    sensor = GptImgGenerationSensor(task_id="s", generation_id="task_img_1", **{argument: RESUMES[argument]})
    shown = "do_xcom_push=False" if argument == "do_xcom_push" else argument
    assert list(left_for_a_worker(operator)) == list(left_for_a_worker(sensor)) == [shown]


def test_a_task_without_any_of_it_ends_in_its_triggerer() -> None:
    assert list(left_for_a_worker(GptImgGenerateOperator(task_id="t", prompt="A fox"))) == []


def test_a_method_of_ones_own_counts() -> None:
    class Reporting(GptImgGenerateOperator):
        def post_execute(self, context: Context, result: Any = None) -> None:
            """Report it."""

    assert list(left_for_a_worker(Reporting(task_id="t", prompt="A fox"))) == ["post_execute"]


def test_a_task_is_resumed_for_those_that_are_mapped_over_it() -> None:
    made = GptImgGenerateOperator(task_id="made", prompt="A fox")

    @task
    def show(key: str) -> None:
        """Show a part of a result."""

    show.expand(key=made.output)
    assert list(left_for_a_worker(made)) == ["tasks that are mapped over its result"]
