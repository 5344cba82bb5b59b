"""Naming the template that gave a value which is not allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.exceptions import GptImgValidationError

if TYPE_CHECKING:
    from airflow.sdk import Context

OF_AN_INSTANCE = ("map_index", "xcom_pull")
"""What a template reads that is different in each instance of a mapped task."""

OF_AN_ITERATION = ("loop", "xcom_pull")
"""What a template reads that is different in each iteration of a loop (Airflow 3.4)."""

_SHOWN = 200
"""So many characters of a template are shown."""


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
    written = _written(context, task_id, field)
    if isinstance(written, str):  # a template such as {{ ds }} gives the same to all of them
        return _is_template(written) and any(name in written for name in tells)
    return written is _MAPPED or _is_template(written)


_MAPPED = object()
"""Stands for a parameter that a mapped task is expanded over, or that it was not given."""


def _written(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it, None where that is not known."""
    # The DAG keeps the task as it was written; what runs is a rendered copy (Airflow 3.0 to 3.3).
    dag: Any = context.get("dag")
    if field is None or dag is None or not dag.has_task(task_id):
        return None
    task = dag.get_task(task_id)
    return task.partial_kwargs.get(field, _MAPPED) if task.is_mapped else getattr(task, field, None)


def _template(context: Context, task_id: str, field: str | None) -> str | None:
    written = _written(context, task_id, field)
    if not _is_template(written):
        return None
    shown = repr(written) if isinstance(written, (str, list, tuple, dict)) else f"{written}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _is_template(written: object) -> bool:
    from airflow.sdk.definitions.xcom_arg import XComArg

    if isinstance(written, str):
        return "{{" in written or "{%" in written
    if isinstance(written, Mapping):
        return any(map(_is_template, written.values()))
    if isinstance(written, (list, tuple)):
        return any(map(_is_template, written))
    return isinstance(written, XComArg)
