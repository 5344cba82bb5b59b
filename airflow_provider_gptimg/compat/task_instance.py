"""The parts of a running task instance that we use, and where each Airflow keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast
from uuid import UUID

from airflow_provider_gptimg.payment.attempt import TaskFacts
from airflow_provider_gptimg.payment.decision import GENERATION_ID_KEY, SERIES_KEY

NO_REGION = UUID(int=0)
"""The region of a task instance that is neither mapped nor in a loop."""


class TaskInstance(Protocol):
    """The parts of a running task instance (``context["ti"]``) that we use, on Airflow 3.0 to 3.4."""

    id: Any
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    start_date: Any

    def xcom_push(self, key: str, value: Any) -> None:
        """Push an XCom of this task instance."""

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return the value of an XCom, None if there is none."""


def task_instance(context: Mapping[str, Any]) -> TaskInstance:
    """Return the task instance of a context."""
    return cast("TaskInstance", context["ti"])


def place_of(ti: Any) -> tuple[str, ...]:
    """Return what identifies a task instance. It is the same for each of its attempts."""
    return (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), *region_of(ti))


def region_of(ti: Any) -> tuple[str, ...]:
    """Return what distinguishes the iterations of a task in a task loop (Airflow 3.4).

    From the source of Airflow 3.4.0b2, and seen there:

    - A region is one execution of a loop, or one expansion of a mapped task. Its id (a UUID) is the
      ``region_id`` of the task instances in it, and ``region_index`` is their place in it. A task instance
      outside regions has the id 0 and the index -1.
    - A running task instance (``RuntimeTaskInstance`` of the task SDK) has both, and a public
      ``map_index``. ``context["loop"]`` exists only in a loop.

      ================================  ================  =======================  ================  =======
      task                              region_id         region_index             map_index         loop
      ================================  ================  =======================  ================  =======
      plain                             0                 -1                       -1                no
      mapped                            of its expansion  map index                map index         no
      in a loop                         of the loop       iteration, from 0        -1                yes
      mapped in a loop                  of its expansion  map index                map index         yes
      ================================  ================  =======================  ================  =======

      A mapped task in a loop is expanded once for each iteration, each time into its own region, so the
      region also identifies the iteration. Tasks of a mapped task group count as mapped tasks here.
      Airflow refuses a loop within a loop, and a loop within a mapped task group.
    - The database row (``TaskInstance`` of ``airflow.models``) has both too, but its ``map_index`` is always
      another name of ``region_index``, also in a loop. The row of its region (``DynamicRegion``) shows
      whether it is in a loop: outside loops the ``node_id`` is the task's own id and there is no parent.
      So this function is not for rows.
    - A retry and a Clear of a task instance keep both. A Clear of the loop's gate, also as part of a Clear
      of downstream tasks, archives the later iterations. The iterations that follow are in a new region,
      begin at try 1, and go on counting from there.

    :param ti: a running task instance, or a record with its ids. A record has a ``region_id`` only if the
        task instance is in a loop.
    :return: the id and index of its region. Empty outside loops and before Airflow 3.4, where identities
        must not change.
    """
    region_id, index = getattr(ti, "region_id", None), getattr(ti, "region_index", None)
    if index is None or region_id in (None, NO_REGION) or not _is_in_loop(ti):
        return ()
    return (str(region_id), str(index))


def _is_in_loop(ti: Any) -> bool:
    if ti.map_index != ti.region_index:
        return True
    context = getattr(ti, "get_template_context", None)  # a record has none: its region shows the loop
    return context is None or "loop" in context()


def own_xcom(ti: TaskInstance, key: str) -> Any:
    """Return an XCom that this task instance pushed, None if there is none."""
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


def keys_of_before(ti: Any) -> frozenset[str] | None:
    """Return the keys of the XComs that the previous attempt pushed; None if Airflow does not say.

    Airflow 3.0 to 3.3 delete the XComs at the start of an attempt, and send their keys to the worker. From
    3.4 on XComs belong to one try, so there are keys only if the previous attempt had the same number.
    """
    keys = getattr(getattr(ti, "_ti_context_from_server", None), "xcom_keys_to_clear", None)
    if keys is None or (not keys and is_forgetful(ti)):
        return None
    return frozenset(keys)


def is_forgetful(ti: Any) -> bool:
    """Return whether a Clear of a task instance discards its task state by default (Airflow 3.4).

    From the source of 3.4.0b2: for a Clear of task instances, ``keep_task_state`` is False by default. A
    Clear of a DAG run keeps the state.
    """
    return hasattr(ti, "region_id")


def created_at(ti: Any) -> float | None:
    """Return when an attempt was created, in Unix seconds; None if its id does not contain the time.

    On Airflow 3.4 every attempt has its own id, a UUID of version 7, which begins with the time. A Clear
    creates the next attempt at once, or after a running one has ended.
    """
    number = ti.id if isinstance(ti.id, UUID) else UUID(str(ti.id))
    return (number.int >> 80) / 1000 if number.version == 7 and is_forgetful(ti) else None


def facts_of(context: Mapping[str, Any], *, retries: int, pushes_xcoms: bool, resumed: bool) -> TaskFacts:
    """Return what Airflow says about an attempt.

    :param retries: the task's ``retries``.
    :param pushes_xcoms: the task's ``do_xcom_push``.
    :param resumed: whether the attempt was deferred. Then its own XComs say what it has done.
    """
    ti = task_instance(context)
    base = ti.max_tries - retries
    keys, pushed_id = keys_of_before(ti), None
    if resumed:
        keys = _series_pushed(ti, range(max(base, 0), -1, -1)) if pushes_xcoms else None
        pushed_id = own_xcom(ti, GENERATION_ID_KEY) if pushes_xcoms else None
    return TaskFacts(
        place=place_of(ti),
        try_number=ti.try_number,
        base=base,
        retries=retries,
        ti_id=str(ti.id),
        resumed=resumed,
        is_forgetful=is_forgetful(ti),
        xcom_keys=keys,
        pushes_xcoms=pushes_xcoms,
        pushed_id=pushed_id if isinstance(pushed_id, str) else None,
    )


def _series_pushed(ti: TaskInstance, bases: Iterable[int]) -> frozenset[str] | None:
    """Return the key that names this attempt's series, if it pushed one. Series are named after a base."""
    keys = (f"{SERIES_KEY}{base}" for base in bases)
    return next((frozenset({key}) for key in keys if own_xcom(ti, key) is not None), None)
