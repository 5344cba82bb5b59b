"""Airflow's human-in-the-loop operator, from the standard provider (Airflow 3.1 and newer)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.providers.standard.utils.skipmixin import SkipMixin

    HAS_HUMAN_INPUT: bool
    LoopGateOperator: Any
else:
    try:
        from airflow.providers.standard.operators.hitl import HITLOperator
        from airflow.providers.standard.utils.skipmixin import SkipMixin

        HAS_HUMAN_INPUT = True
    except Exception:  # noqa: BLE001 - Airflow 3.0: no such module, or one that raises an Airflow error
        from airflow.sdk import BaseOperator as HITLOperator

        class SkipMixin:
            """A stand-in: without human input, nothing is skipped."""

        HAS_HUMAN_INPUT = False
    try:
        from airflow.sdk.definitions._internal.loop import LoopGateOperator
    except ImportError:  # before Airflow 3.4
        LoopGateOperator = None

__all__ = ["HAS_HUMAN_INPUT", "HITLOperator", "SkipMixin", "human_arguments", "to_skip"]


def to_skip(task: Any) -> list[Any]:
    """Return the direct downstream tasks, which are skipped if the task rejects.

    Teardown tasks are left out. So is the gate of a task loop (Airflow 3.4), which decides on another round.
    """
    following = task.get_direct_relatives(upstream=False)
    return [each for each in following if not each.is_teardown and not _is_gate(each)]


def _is_gate(task: Any) -> bool:
    return LoopGateOperator is not None and isinstance(task, LoopGateOperator)


def human_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a human-in-the-loop operator in the form that this Airflow takes.

    Since about version 1.13 of the standard provider, ``response_timeout`` limits the wait for an answer.
    Before that, ``execution_timeout`` did.
    """
    if "response_timeout" in inspect.signature(HITLOperator.__init__).parameters:
        return arguments
    limit = arguments.get("response_timeout")
    kept = {name: value for name, value in arguments.items() if name != "response_timeout"}
    return kept if limit is None else {**kept, "execution_timeout": limit}
