"""Imports from Airflow whose place differs between versions of Airflow 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from airflow.sdk import BaseHook
    from airflow.sdk.bases.decorator import determine_kwargs
    from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
    from airflow.sdk.io.fs import has_fs
else:
    from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

    try:
        from airflow.sdk.io.fs import has_fs
    except ImportError:  # Airflow 3.0
        from airflow.io import has_fs
    try:
        from airflow.sdk import BaseHook
    except ImportError:  # Airflow 3.0
        from airflow.hooks.base import BaseHook
    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:  # Airflow 3.0, 3.1
        from airflow.utils.operator_helpers import determine_kwargs
    try:
        from airflow.sdk.exceptions import (
            AirflowException,
            AirflowFailException,
            AirflowNotFoundException,
            AirflowSensorTimeout,
            AirflowSkipException,
        )
    except ImportError:  # Airflow 3.0, 3.1
        from airflow.exceptions import (
            AirflowException,
            AirflowFailException,
            AirflowNotFoundException,
            AirflowSensorTimeout,
            AirflowSkipException,
        )

TRIGGER_FAIL = "__fail__"
"""The ``next_method`` with which Airflow resumes a task whose trigger died or timed out."""

TRIGGER_TIMEOUT = "Trigger timeout"
"""The reason that Airflow then gives if the deferral timed out."""

__all__ = [
    "SET_DURING_EXECUTION",
    "TRIGGER_FAIL",
    "TRIGGER_TIMEOUT",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "connection_of",
    "determine_kwargs",
    "has_fs",
    "has_listeners",
]


async def connection_of(hook: Any, conn_id: str) -> Any:
    """Return a connection without blocking the event loop.

    Airflow 3.0 has no async look-up, and its sync one must not be called in the event loop.
    """
    if hasattr(hook, "aget_connection"):
        return await hook.aget_connection(conn_id)
    return await sync_to_async(hook.get_connection)(conn_id)


def has_listeners() -> bool:
    """Return whether there is a listener (such as OpenLineage's) for tasks that end."""
    try:
        from airflow.sdk.listener import get_listener_manager
    except ImportError:  # Airflow 3.0, 3.1
        from airflow.listeners.listener import get_listener_manager  # type: ignore[assignment]
    return bool(get_listener_manager().has_listeners)
