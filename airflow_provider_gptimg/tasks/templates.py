"""Naming the template that gave a value which is not allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_gptimg.compat.written_parameters import MAPPED, is_template, written, written_for
from airflow_provider_gptimg.exceptions import GptImgValidationError

if TYPE_CHECKING:
    from airflow.sdk import Context

OF_AN_INSTANCE = ("map_index", "xcom_pull")
"""What a template reads that is different in each instance of a mapped task."""

OF_AN_ITERATION = ("loop", "xcom_pull")
"""What a template reads that is different in each iteration of a loop (Airflow 3.4)."""

_SHOWN = 200
"""Characters of a template that a message shows, at most."""


@contextmanager
def templates_named(context: Context, task_id: str) -> Iterator[None]:
    """Say of a parameter that is not allowed which template gave its value, if one did.

    :raises GptImgValidationError: the one that is raised inside, with more to say.
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
    """Return whether a mapped task's instances each have a value of their own for a parameter.

    :param tells: what a template must read for that; for the iterations of a loop, :data:`OF_AN_ITERATION`.
    """
    given = written(context, task_id, field)
    if isinstance(given, str):  # a template such as {{ ds }} gives the same to all of them
        return is_template(given) and any(name in given for name in tells)
    return given is MAPPED or is_template(given)


def _template(context: Context, task_id: str, field: str | None) -> str | None:
    given = written_for(context, task_id, field)
    if not is_template(given):
        return None
    shown = repr(given) if isinstance(given, (str, list, tuple, dict)) else f"{given}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
