"""Leaving the reason of a failure in an XCom, where the gallery and downstream tasks find it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_gptimg.exceptions import GptImgError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

ERROR_KEY = "error"
"""XCom key of ``{"error": class of the exception, "message", "generation_id"}``. A retry removes it."""

Execute = TypeVar("Execute", bound=Callable[..., Any])


def leaves_reason(execute: Execute) -> Execute:
    """Make an operator's ``execute`` push why it failed, unless the task is not to push anything."""

    @wraps(execute)
    def told(self: BaseOperator, context: Context, *args: Any, **kwargs: Any) -> Any:
        try:
            return execute(self, context, *args, **kwargs)
        except GptImgError as error:
            # One method may call another that is wrapped too, and an XCom is pushed once.
            if self.do_xcom_push and not error.is_left:
                error.is_left = True
                _leave(self, context, error)
            raise

    return cast("Execute", told)


def _leave(operator: BaseOperator, context: Context, error: GptImgError) -> None:
    reason = {
        "error": type(error).__name__,
        "message": str(error),
        "generation_id": error.generation_id,
    }
    try:
        context["ti"].xcom_push(key=ERROR_KEY, value=reason)
    except Exception as problem:  # noqa: BLE001 - the failure itself must not be hidden
        operator.log.warning("The reason could not be left in XCom (%s).", type(problem).__name__)
