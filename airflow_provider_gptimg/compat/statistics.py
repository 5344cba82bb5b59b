"""Airflow's own statistics. Depending on the cluster they go to StatsD, to OpenTelemetry or nowhere."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_OF_A_TRIGGERER = "airflow.observability.stats"
_OF_A_WORKER = "airflow.sdk.observability.stats"
_OLDER = "airflow.stats"


def statistics() -> Any:
    """Return the statistics of this process. Its ``incr`` and ``timing`` do nothing if they are off.

    Airflow 3.2 and newer have two. A triggerer sets up the one in the core, and a worker the one in the task
    SDK. The other one does nothing.
    """
    is_triggerer = "airflow.jobs.triggerer_job_runner" in sys.modules
    try:
        module = import_module(_OF_A_TRIGGERER if is_triggerer else _OF_A_WORKER)
    except ImportError:  # Airflow 3.0, 3.1
        module = import_module(_OLDER)
    return module.Stats


def counts_resumable_jobs() -> bool:
    """Return whether Airflow's own resumable operators count their resumes (since 3.3)."""
    try:
        from airflow.sdk import ResumableJobMixin  # noqa: F401
    except ImportError:
        return False
    return True
