"""The rows of task instances in Airflow's database, and where each Airflow keeps the data for them.

Up to Airflow 3.3, XComs and rendered fields identify a task instance by dag, run and task id and map index.
From 3.4 on they belong to one try, a row with its own id. The queries here never see old tries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models import renderedtifields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import and_, false, select, tuple_
from sqlalchemy.orm import Session, joinedload

from airflow_provider_gptimg.compat.task_instance import NO_REGION

if TYPE_CHECKING:
    DynamicRegion: Any
    build_loop_sequence_order: Any
    public_map_index_expression: Any
else:
    try:
        from airflow.models.dynamic_region import DynamicRegion, build_loop_sequence_order
        from airflow.models.task_coordinates import public_map_index_expression
    except ImportError:  # before Airflow 3.4
        DynamicRegion = None

Key = tuple[Any, ...]

XCOM_COLUMNS: tuple[str, ...] = ("dag_id", "run_id", "task_id", "map_index")
"""The columns by which an XCom identifies its task instance."""

ROW_COLUMNS = XCOM_COLUMNS
"""The matching columns of the task instance."""

if hasattr(XComModel, "task_instance_id"):  # Airflow 3.4
    XCOM_COLUMNS, ROW_COLUMNS = ("task_instance_id",), ("id",)


@dataclass(frozen=True)
class Coordinates:
    """What distinguishes a row from the others of its task.

    :param map_index: as Airflow shows it: -1 if the task is not mapped, also in a loop.
    :param region_id: its region, with ``region_index`` its place there, if it is in a loop; otherwise None.
    :param iteration: the iteration of the loop, from 0.
    """

    map_index: int
    region_id: str | None = None
    region_index: int | None = None
    iteration: int | None = None


def xcoms_at(keys: Iterable[Key]) -> Any:
    """Return the condition that an XCom belongs to one of the task instances with these keys."""
    return _among(XComModel, XCOM_COLUMNS, keys)


def rows_at(keys: Iterable[Key]) -> Any:
    """Return the condition that a row has one of these keys."""
    return _among(TaskInstance, ROW_COLUMNS, keys)


def xcom_columns() -> tuple[Any, ...]:
    """Return the columns of an XCom that form the key of its task instance."""
    return tuple(getattr(XComModel, name) for name in XCOM_COLUMNS)


def xcom_key(xcom: Any) -> Key:
    """Return the key of an XCom's task instance."""
    return tuple(getattr(xcom, name) for name in XCOM_COLUMNS)


def row_key(row: TaskInstance) -> Key:
    """Return the key of a task instance."""
    return tuple(getattr(row, name) for name in ROW_COLUMNS)


def xcom_of_row() -> Any:
    """Return the condition that joins XComs with their task instances."""
    pairs = zip(XCOM_COLUMNS, ROW_COLUMNS, strict=True)
    return and_(*(getattr(XComModel, xcom) == getattr(TaskInstance, row) for xcom, row in pairs))


def with_fields(query: Any) -> Any:
    """Make a query of rows also load what :func:`fields_of` needs."""
    return query.options(joinedload(TaskInstance.rendered_task_instance_fields))


def has_fields() -> Any:
    """Return the condition that Airflow still has a row's fields. On 3.4 it misses those from before 3.4."""
    return TaskInstance.rendered_task_instance_fields.has()


def fields_of(session: Session, rows: Sequence[TaskInstance]) -> list[Any]:
    """Return the rendered template fields of each row, None if Airflow no longer has them."""
    if hasattr(renderedtifields, "load_legacy_rendered_fields"):
        # Fields from before an upgrade to Airflow 3.4.
        renderedtifields.load_legacy_rendered_fields(rows, session=session)
    kept = (row.rendered_task_instance_fields for row in rows)
    return [None if fields is None else fields.rendered_fields for fields in kept]


def map_index_column() -> Any:
    """Return the expression to compare with a map index as Airflow shows it."""
    return TaskInstance.map_index if DynamicRegion is None else public_map_index_expression(TaskInstance)


def sequence() -> tuple[Any, ...]:
    """Return the order of a task's rows: by loop iteration, then by map index."""
    if DynamicRegion is None:
        return (TaskInstance.map_index,)
    return tuple(build_loop_sequence_order(TaskInstance.region_id, TaskInstance.region_index))


def in_region(region_id: Any, region_index: int) -> Any:
    """Return the condition that a row is at this place of a region. Before Airflow 3.4 no row is."""
    if DynamicRegion is None:
        return false()
    return and_(TaskInstance.region_id == region_id, TaskInstance.region_index == region_index)


def coordinates_of(session: Session, rows: Sequence[TaskInstance]) -> list[Coordinates]:
    """Return the coordinates of each row."""
    regions = _regions(session, {row.region_id for row in rows} if DynamicRegion is not None else ())
    return [_coordinates(row, regions) for row in rows]


def _coordinates(row: TaskInstance, regions: Mapping[Any, Any]) -> Coordinates:
    region = regions.get(getattr(row, "region_id", NO_REGION))
    if region is None:
        return Coordinates(row.map_index)
    is_mapped = region.node_id == row.task_id
    if is_mapped and region.parent_region_id is None:
        return Coordinates(row.map_index)
    iteration = region.parent_region_index if is_mapped else row.region_index
    return Coordinates(row.region_index if is_mapped else -1, str(row.region_id), row.region_index, iteration)


def _regions(session: Session, ids: Collection[Any]) -> dict[Any, Any]:
    wanted = [id_ for id_ in ids if id_ != NO_REGION]
    if not wanted:
        return {}
    found = session.scalars(select(DynamicRegion).where(DynamicRegion.id.in_(wanted)))
    return {region.id: region for region in found}


def _among(model: Any, names: Sequence[str], keys: Iterable[Key]) -> Any:
    if len(names) == 1:
        return getattr(model, names[0]).in_([key[0] for key in keys])
    return tuple_(*(getattr(model, name) for name in names)).in_(list(keys))
