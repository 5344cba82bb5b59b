"""What tells task instances apart beyond their dag, run and task id and their map index."""

from __future__ import annotations

from typing import Any
from uuid import UUID

NO_REGION = UUID(int=0)
"""The region of a task instance that is neither mapped nor in a loop."""


def region_of(ti: Any) -> tuple[str, ...]:
    """Return what tells a task instance in a task loop (Airflow 3.4) from those of the other iterations.

    Read in the source of Airflow 3.4.0b2 and seen there:

    - A region is one execution of a loop, or one expansion of a mapped task. Its id (a UUID) is the
      ``region_id`` of the task instances in it, and ``region_index`` is their place in it. A task instance
      in no region has the id 0, and -1.
    - A running task instance (``RuntimeTaskInstance`` of the task SDK) has both, and a public
      ``map_index``. ``context["loop"]`` is there in a loop only.

      ================================  ================  =======================  ================  =======
      task                              region_id         region_index             map_index         loop
      ================================  ================  =======================  ================  =======
      plain                             0                 -1                       -1                no
      mapped                            of its expansion  map index                map index         no
      in a loop                         of the loop       iteration, from 0        -1                yes
      mapped in a loop                  of its expansion  map index                map index         yes
      ================================  ================  =======================  ================  =======

      A mapped task in a loop is expanded once for each iteration, each time into a region of its own, so
      its region tells the iteration too. Tasks of a mapped task group are mapped tasks in this. Airflow
      refuses a loop within a loop, and a loop within a mapped task group.
    - The row of the database (``TaskInstance`` of ``airflow.models``) has both too, but its ``map_index`` is
      another name of ``region_index``, also in a loop. Whether it is in a loop stands in its region's row
      (``DynamicRegion``): the ``node_id`` is the task's own id and there is no parent outside loops. So
      this function is not for rows.
    - A retry and a Clear of a task instance keep both. A Clear of the loop's gate, also as something
      downstream of another task, archives the later iterations; those that follow are in a new region,
      begin at try 1 and go on counting the iterations from there.

    :param ti: a running task instance; or a record with the ids of one, which has a ``region_id`` only if
        the task instance is in a loop.
    :return: id and index of its region; nothing outside loops and before Airflow 3.4, where identities
        must stay what they are.
    """
    region_id, index = getattr(ti, "region_id", None), getattr(ti, "region_index", None)
    if index is None or region_id in (None, NO_REGION) or not _is_in_loop(ti):
        return ()
    return (str(region_id), str(index))


def _is_in_loop(ti: Any) -> bool:
    if ti.map_index != ti.region_index:
        return True
    context = getattr(ti, "get_template_context", None)  # not of a record, which says it by its region
    return context is None or "loop" in context()
