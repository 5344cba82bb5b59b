"""Names the template that gave a forbidden value."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_gptimg.compat.written_parameters import MAPPED, is_template, written, written_for
from airflow_provider_gptimg.exceptions import GptImgValidationError

if TYPE_CHECKING:
    from airflow.sdk import Context

OF_AN_INSTANCE = ("map_index", "xcom_pull")
"""Names in a template whose values differ between the instances of a mapped task."""

OF_AN_ITERATION = ("loop", "xcom_pull")
"""Names in a template whose values differ between the iterations of a loop (Airflow 3.4)."""

_SHOWN = 200
"""Most characters of a template that a message shows."""


@contextmanager
def templates_named(context: Context, task_id: str) -> Iterator[None]:
    """Add to the error for a forbidden parameter which template gave its value, if one did.

    :raises GptImgValidationError: the error from inside, with the template added.
    """
    try:
        yield
    except GptImgValidationError as error:
        template = _template(context, task_id, error.field)
        if template is None:
            raise
        message = f"{error} It came from the template {template}"
        raise GptImgValidationError(message, field=error.field) from None


def is_own(context: Context, task_id: str, field: str, tells: Collection[str] = OF_AN_INSTANCE) -> bool:
    """Return whether each instance of a mapped task has its own value for a parameter.

    :param tells: a template must use one of these names for that. For loops: :data:`OF_AN_ITERATION`.
    """
    given = written(context, task_id, field)
    if isinstance(given, str):  # a template such as {{ ds }} gives all of them the same value
        return is_template(given) and any(name in given for name in tells)
    return given is MAPPED or is_template(given)


def _template(context: Context, task_id: str, field: str | None) -> str | None:
    given = written_for(context, task_id, field)
    if not is_template(given):
        return None
    shown = repr(given) if isinstance(given, (str, list, tuple, dict)) else f"{given}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
