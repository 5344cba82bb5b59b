"""Where a task ends: in the triggerer, or on a worker that is started again for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_gptimg.compat.imports import has_listeners
from airflow_provider_gptimg.compat.xcom import writes_from_triggerer


def ends_in_triggerer(task: Any, *, stores: bool = False) -> bool:
    """Return whether a task can end without a worker. If not, the log says why.

    :param task: an operator or a sensor of this provider.
    :param stores: whether it stores its images.
    """
    left = [*(["output_path"] if stores else []), *left_for_a_worker(task)]
    if left:
        task.log.info("This task is resumed on a worker to finish, because of %s.", ", ".join(left))
    return not left


def left_for_a_worker(task: Any) -> Iterator[str]:
    """Yield what an operator uses that Airflow does only on a worker, after a success.

    For a task that ends from its trigger, Airflow calls no callbacks and sends no asset events.
    """
    if not writes_from_triggerer():
        yield "the XCom backend"  # Airflow 3.0's, or a custom one, which may block the event loop
    if not task.do_xcom_push:
        yield "do_xcom_push=False"  # the worker passes data to the trigger as an XCom
    if task.pushes_each_output:
        yield "multiple_outputs"
    if task.outlets:
        yield "outlets"
    if task.on_success_callback:
        yield "on_success_callback"
    if task._post_execute_hook or type(task).post_execute is not BaseOperator.post_execute:
        yield "post_execute"
    if task.map_index_template:
        yield "map_index_template"  # it may use the task's result
    if next(iter(task.iter_mapped_dependants()), None) is not None:
        yield "tasks that are mapped over its result"
    if has_listeners():
        yield "a listener"
