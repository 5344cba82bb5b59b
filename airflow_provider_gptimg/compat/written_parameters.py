"""Parameters of a task as the author of its DAG wrote them, before they were rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

MAPPED = object()
"""Stands for a parameter that a mapped task is expanded over, or that it was not given."""


def written(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it, None where that is not known."""
    # The DAG keeps the task as it was written; what runs is a rendered copy (Airflow 3.0 to 3.3).
    dag: Any = context.get("dag")
    if field is None or dag is None or not dag.has_task(task_id):
        return None
    task = dag.get_task(task_id)
    return task.partial_kwargs.get(field, MAPPED) if task.is_mapped else getattr(task, field, None)


def written_for(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it for this task instance, None where he left it out.

    Of what a mapped task is expanded over, an element of a list in the DAG's file is what the author wrote
    for its instance. What another task handed on stands for itself.
    """
    given = written(context, task_id, field)
    if given is MAPPED:
        # Of a decorated task only the function's arguments are expanded: this one is empty then.
        return _of_this_instance(context, context["dag"].get_task(task_id).expand_input, field)  # type: ignore[union-attr]
    if hasattr(given, "_input"):  # an argument of a mapped task group
        return _of_this_instance(context, given._input, given._key)
    return given


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
