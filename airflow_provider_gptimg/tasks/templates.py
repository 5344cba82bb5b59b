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
        return is_template(written) and any(name in written for name in tells)
    return written is _MAPPED or is_template(written)


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


def written_for(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it for this task instance, None where he left it out.

    Of what a mapped task is expanded over, an element of a list in the DAG's file is what the author wrote
    for its instance. What another task handed on stands for itself.
    """
    written = _written(context, task_id, field)
    if written is _MAPPED:
        # Of a decorated task only the function's arguments are expanded: this one is empty then.
        return _of_this_instance(context, context["dag"].get_task(task_id).expand_input, field)  # type: ignore[union-attr]
    if hasattr(written, "_input"):  # an argument of a mapped task group
        return _of_this_instance(context, written._input, written._key)
    return written


def _of_this_instance(context: Context, expanded: Any, name: str | None) -> Any:
    """Return what one instance is given under a name by ``expand`` or ``expand_kwargs``."""
    source = expanded.value
    if isinstance(source, Mapping):  # a list for each name
        if name not in source or is_reference(source[name]):
            return source.get(name)
        return expanded.resolve(context)[0][name]
    # A dict for each instance.
    wrote = source if is_reference(source) else source[context["ti"].map_index]
    given = expanded.resolve(context)[0] if is_reference(wrote) else wrote
    if name not in given:
        return None
    return wrote if is_reference(wrote) else given[name]


def _template(context: Context, task_id: str, field: str | None) -> str | None:
    written = written_for(context, task_id, field)
    if not is_template(written):
        return None
    shown = repr(written) if isinstance(written, (str, list, tuple, dict)) else f"{written}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def is_template(written: object) -> bool:
    """Return whether a parameter is rendered: a template, a task's output, or with one of them inside."""
    if isinstance(written, str):
        return "{{" in written or "{%" in written
    if isinstance(written, Mapping):
        return any(map(is_template, written.values()))
    if isinstance(written, (list, tuple)):
        return any(map(is_template, written))
    return is_reference(written)


def is_reference(written: object) -> bool:
    """Return whether a parameter is the output of another task, or an argument of a mapped task group."""
    return hasattr(written, "iter_references") and hasattr(written, "resolve")
