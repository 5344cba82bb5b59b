"""Parameters of a task as the DAG's author wrote them, before rendering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

MAPPED = object()
"""Stands for a parameter that a mapped task is expanded over, or that was not given."""


def written(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it, None if that is not known."""
    # The DAG keeps the task as written. A rendered copy runs (Airflow 3.0 to 3.3).
    dag: Any = context.get("dag")
    if field is None or dag is None or not dag.has_task(task_id):
        return None
    task = dag.get_task(task_id)
    return task.partial_kwargs.get(field, MAPPED) if task.is_mapped else getattr(task, field, None)


def written_for(context: Context, task_id: str, field: str | None) -> Any:
    """Return a parameter as the DAG's author wrote it for this task instance, None if it was left out.

    If a mapped task is expanded over a list in the DAG's file, each element is what the author wrote for one
    instance. The output of another task is returned as the reference to it.
    """
    given = written(context, task_id, field)
    if given is MAPPED:
        # A decorated task expands only the function's arguments. Then this input is empty.
        return _of_this_instance(context, context["dag"].get_task(task_id).expand_input, field)  # type: ignore[union-attr]
    if hasattr(given, "_input"):  # an argument of a mapped task group
        return _of_this_instance(context, given._input, given._key)
    return given


def _of_this_instance(context: Context, expanded: Any, name: str | None) -> Any:
    """Return the value that ``expand`` or ``expand_kwargs`` gives one instance under a name."""
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
    """Return whether a parameter is rendered: it is or contains a template or a task's output."""
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
