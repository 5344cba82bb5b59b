"""Airflow's human-in-the-loop operator, from the standard provider (Airflow 3.1 and newer)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.providers.standard.utils.skipmixin import SkipMixin

    HAS_HUMAN_INPUT: bool
else:
    try:
        from airflow.providers.standard.operators.hitl import HITLOperator
        from airflow.providers.standard.utils.skipmixin import SkipMixin

        HAS_HUMAN_INPUT = True
    except Exception:  # noqa: BLE001 - Airflow 3.0: no such module, or one that says so in an error of Airflow
        from airflow.sdk import BaseOperator as HITLOperator

        class SkipMixin:
            """Nothing is skipped where nobody is asked."""

        HAS_HUMAN_INPUT = False

__all__ = ["HAS_HUMAN_INPUT", "HITLOperator", "SkipMixin", "human_arguments"]


def human_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a human-in-the-loop operator as this Airflow takes them.

    The limit for the answer is ``response_timeout`` since version 1.13 of the standard provider or so;
    before that the ``execution_timeout`` was meant.
    """
    if "response_timeout" in inspect.signature(HITLOperator.__init__).parameters:
        return arguments
    limit = arguments.get("response_timeout")
    kept = {name: value for name, value in arguments.items() if name != "response_timeout"}
    return kept if limit is None else {**kept, "execution_timeout": limit}
