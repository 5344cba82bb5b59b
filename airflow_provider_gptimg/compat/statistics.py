"""Airflow's own statistics, which go to StatsD, to OpenTelemetry or nowhere, as the cluster is set up."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_OF_A_TRIGGERER = "airflow.observability.stats"
_OF_A_WORKER = "airflow.sdk.observability.stats"
_OLDER = "airflow.stats"


def statistics() -> Any:
    """Return the statistics of this process: ``incr`` and ``timing``, which do nothing where they are off.

    Since Airflow 3.2 there are two of them. A triggerer sets up the one of the core, a worker the one of the
    task SDK; in each, the other one does nothing.
    """
    is_triggerer = "airflow.jobs.triggerer_job_runner" in sys.modules
    try:
        module = import_module(_OF_A_TRIGGERER if is_triggerer else _OF_A_WORKER)
    except ImportError:  # Airflow 3.0, 3.1
        module = import_module(_OLDER)
    return module.Stats


def counts_resumable_jobs() -> bool:
    """Return whether Airflow's own resumable operators count what they resume (3.3)."""
    try:
        from airflow.sdk import ResumableJobMixin  # noqa: F401
    except ImportError:
        return False
    return True
