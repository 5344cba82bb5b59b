"""Where each Airflow 3 keeps what the tests use of it, and what the older ones leave out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from airflow.sdk.execution_time.comms import SucceedTask
from packaging.version import Version

from airflow_provider_gptimg import exceptions

try:
    from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred
except ImportError:  # Airflow 3.0, 3.1
    from airflow.exceptions import AirflowSensorTimeout, TaskDeferred
try:
    from airflow.sdk import literal
except ImportError:  # Airflow 3.0
    from airflow.sdk.definitions.template import literal

RENDERS_MAP_INDEXES = "rendered_map_index" in SucceedTask.model_fields
"""Whether Airflow shows what ``map_index_template`` says (not 3.0.0)."""

HTTPX_READS_THE_FILE = pytest.mark.skipif(
    Version(httpx.__version__) < Version("0.28"),
    reason="this httpx passes over a file that is gone",
)

__all__ = [
    "HTTPX_READS_THE_FILE",
    "RENDERS_MAP_INDEXES",
    "AirflowSensorTimeout",
    "TaskDeferred",
    "dag_test_keeps_deferrals",
    "error_of",
    "is_first",
    "literal",
    "new_dag_bag",
    "serialize",
    "skip_retries",
    "skip_second_look",
]


def new_dag_bag(path: Any, **options: Any) -> Any:
    """Return a DagBag, with those options that this Airflow has."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.0, 3.1
        from airflow.models.dagbag import DagBag
    known = inspect.signature(DagBag).parameters
    return DagBag(path, **{name: value for name, value in options.items() if name in known})


def is_first() -> bool:
    """Return whether this is Airflow 3.0, whose ``dag.test()`` can do less."""
    return hasattr(type(new_dag_bag(os.devnull, include_examples=False)), "sync_to_db")


def dag_test_keeps_deferrals() -> bool:
    """Return whether ``dag.test()`` hands on what went into a deferral, as a triggerer does (Airflow 3.4)."""
    from airflow.sdk.definitions import dag

    return "deserialize(msg.next_kwargs)" in inspect.getsource(dag)


def skip_retries() -> None:
    """Skip a test in which a task is tried again, where ``dag.test()`` (Airflow 3.0) does not."""
    if is_first():
        pytest.skip("dag.test() of Airflow 3.0 does not retry")


def skip_second_look(way: str) -> None:
    """Skip a test in which a sensor is rescheduled, where Airflow (3.0) cannot do that in one process.

    It reads the date of the first look from its database as text there, and subtracts it from a date.
    """
    if "reschedule" in way and is_first():
        pytest.skip("dag.test() of Airflow 3.0 cannot reschedule a sensor")


def serialize(dag: Any) -> None:
    """Write a DAG to the database, where ``dag.test()`` looks for it; it lies in no DAGs folder."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()
    bag = new_dag_bag(os.devnull, include_examples=False)
    bag.bag_dag(dag)
    if hasattr(bag, "sync_to_db"):  # Airflow 3.0, whose ``dag.test()`` does it itself
        return
    try:
        from airflow.dag_processing.dagbag import sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import sync_bag_to_db
    sync_bag_to_db(bag, "dags-folder", None)


def error_of(context: Mapping[str, Any]) -> BaseException:
    """Return what a task failed with, told from a failure callback.

    Airflow 3.0 does not say that to callbacks; the task itself left its reason.
    """
    if "exception" in context:
        error: BaseException = context["exception"]
        return error
    ti = context["ti"]
    left = ti.xcom_pull(task_ids=ti.task_id, key="error", map_indexes=ti.map_index)
    if left is None:
        return RuntimeError("no exception of this provider")
    kind: type[exceptions.GptImgError] = getattr(exceptions, left["error"])
    return kind(left["message"], generation_id=left["generation_id"])
