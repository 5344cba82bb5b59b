"""The harness itself: a DAG without the provider runs, and components can be killed and replaced."""

from __future__ import annotations

import pytest

from dev.processes import WaitTimeoutError, wait_until


def test_deferred_and_mapped_tasks_are_seen_from_outside(airflow_stack):
    run = airflow_stack.api.start_dag("plain")

    run.task("defer_once").wait("deferred")
    assert run.wait() == "success"

    assert set(run.states().values()) == {"success"}
    assert run.task("numbers").xcom() == [1, 2, 3]
    assert [run.task("double", index).xcom() for index in range(3)] == [2, 4, 6]
    assert run.task("total").xcom() == 12
    assert set(run.task("defer_once").xcom()) == {"moment"}
    assert "doubling 2" in run.task("double", 1).log()


def test_a_triggerer_is_replaced_while_a_task_is_deferred(airflow_stack):
    run = airflow_stack.api.start_dag("plain")
    run.task("defer_once").wait("deferred")

    airflow_stack.kill("triggerer")
    assert not airflow_stack.processes["triggerer"].members()
    airflow_stack.restart("triggerer")

    assert run.task("defer_once").wait() == "success"
    assert run.wait() == "success"


def test_a_killed_task_is_tried_again(airflow_stack, write_dag):
    write_dag(
        "sleeper",
        """
        import time
        from airflow.sdk import DAG, task

        with DAG("sleeper", schedule=None):

            @task(retries=1)
            def nap(**context):
                if context["ti"].try_number == 1:
                    time.sleep(600)
                return context["ti"].try_number

            nap()
        """,
    )
    run = airflow_stack.api.start_dag("sleeper")
    wait_until(airflow_stack.task_processes, 60, run.describe)

    assert airflow_stack.kill_tasks() == 1

    assert run.wait() == "success"
    assert run.task("nap").xcom() == 2


def test_a_written_dag_runs_and_can_be_cleared(airflow_stack, write_dag):
    write_dag(
        "written",
        """
        from airflow.sdk import DAG, task

        with DAG("written", schedule=None):

            @task
            def series(**context):
                return context["ti"].max_tries

            series()
        """,
    )
    run = airflow_stack.api.start_dag("written")
    assert run.wait() == "success"
    assert run.task("series").xcom() == 0

    run.task("series").clear()

    run.task("series").wait("queued", "running", "success")
    assert run.wait() == "success"
    assert run.task("series").xcom() == 1


def test_a_wait_that_fails_says_what_it_saw(airflow_stack, write_dag):
    write_dag("broken", "raise RuntimeError('this DAG file is broken')  # DAG airflow")

    wait_until(airflow_stack.api.import_errors, 30, lambda: "no import error is reported")
    with pytest.raises(WaitTimeoutError, match="this DAG file is broken"):
        airflow_stack.api.wait_dag("broken", timeout=0.1)
