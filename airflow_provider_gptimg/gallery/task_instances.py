"""Airflow's data about the tasks that made pictures. Only this module reads its database.

The REST API cannot answer these questions in one call: which tasks of a run made pictures, and which pictures
of all DAGs are the newest. The models are the ones that Airflow's own routes use.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from airflow_provider_gptimg.compat import task_rows
from airflow_provider_gptimg.gallery.cards import Place

SUBMITTED = "generation_id"
"""Key of an XCom that only tasks which requested pictures have, whatever their operator is called."""

SIGNS = (SUBMITTED, "urls", "manifest", "batch")
"""Keys of XComs that show that a task made pictures."""

VALUES = ("return_value", SUBMITTED, "error", "batch", "review")
"""Keys of XComs that are read."""

MAX_FIELDS = 100
"""How many rendered fields of a task's other instances are read; Airflow keeps the last 30 runs."""

MAX_LAYERS = 3
MAX_VALUE = 1_000_000
"""Maximum characters of an XCom that is read; a result has some thousand."""


@dataclass(frozen=True)
class Task:
    """A task instance and what it left behind.

    :param state: Airflow's name for its state, None before the scheduler has looked at it.
    :param result: its ``return_value``, if that is a dict.
    :param generation_id: the generation that it submitted, if it did.
    :param error: why it failed, a dict with ``message``, if it recorded that.
    :param batch: where a batch notes its progress, a dict with ``journal`` and ``total``.
    :param pictures: the pictures of a review, as in its XCom; None for other tasks.
    :param fields: its rendered template fields, empty if Airflow no longer has them.
    :param other_conn_ids: connections of the task's other runs and instances, for one without fields.
    """

    place: Place
    state: str | None
    started: datetime | None
    ended: datetime | None
    result: Mapping[str, Any] | None
    generation_id: str | None
    error: Mapping[str, Any] | None
    batch: Mapping[str, Any] | None
    fields: Mapping[str, Any]
    other_conn_ids: frozenset[str] = frozenset()
    pictures: Sequence[Mapping[str, Any]] | None = None

    @property
    def conn_id(self) -> str | None:
        """The connection that it used for the service."""
        return _str(self.fields.get("conn_id"))

    @property
    def journal(self) -> str | None:
        """The URI of the journal, as in the XCom, of a batch that has no manifest yet or never gets one."""
        return None if self.manifest else _str((self.batch or {}).get("journal"))

    @property
    def manifest(self) -> str | None:
        """The URI of a batch's manifest, as in its XCom."""
        uri = (self.result or {}).get("manifest")
        return uri if isinstance(uri, str) and uri else None


def picture_tasks(session: Session, dag_id: str, run_id: str) -> dict[str, int]:
    """Return the tasks of a run that make pictures, and the number of instances of each."""
    signed = select(XComModel.task_id).where(
        XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == SUBMITTED
    )
    rows = session.execute(
        select(TaskInstance.task_id, func.count())
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            or_(_makes_pictures(), TaskInstance.task_id.in_(signed)),
        )
        .group_by(TaskInstance.task_id)
        .order_by(func.min(TaskInstance.start_date), TaskInstance.task_id)
    )
    return {row[0]: row[1] for row in rows}


def instances(
    session: Session,
    dag_id: str,
    run_id: str,
    task_id: str,
    *,
    map_index: int | None = None,
    region: tuple[UUID, int] | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Task], int]:
    """Return a page of a task's instances, by iteration and map index, and their total number.

    :param map_index: only instances with this map index; -1 for all unmapped ones, also in a loop.
    :param region: only the instance in a loop with this id and index of its region.
    """
    query = select(TaskInstance).where(
        TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id
    )
    if map_index is not None:
        query = query.where(task_rows.map_index_column() == map_index)
    if region is not None:
        query = query.where(task_rows.in_region(*region))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    query = task_rows.with_fields(query)
    page = session.scalars(query.order_by(*task_rows.sequence()).limit(limit).offset(offset))
    return _with_records(session, list(page)), total


def latest(
    session: Session,
    dag_ids: Collection[str],
    *,
    since: datetime | None,
    until: datetime | None,
    chunk: int,
    scan: int,
) -> Iterator[Task]:
    """Yield at most ``scan`` tasks that made pictures, the newest first.

    :param since: and ``until``: the time range in which they did, with a time zone.
    """
    when = func.max(XComModel.timestamp)
    columns = task_rows.xcom_columns()
    query = _signed(select(*columns), dag_ids).group_by(*columns)
    if since is not None:
        query = query.having(when >= since)
    if until is not None:
        query = query.having(when < until)
    for offset in range(0, scan, chunk):
        some = query.order_by(when.desc()).limit(chunk).offset(offset)
        keys = [tuple(row) for row in session.execute(some)]
        if not keys:
            return
        here = task_rows.with_fields(select(TaskInstance).where(task_rows.rows_at(keys)))
        rows = list(session.scalars(here))
        found = dict(zip(map(task_rows.row_key, rows), _with_records(session, rows), strict=True))
        session.close()  # frees its connection while storage is read; the next query takes one again
        yield from (found[key] for key in keys if key in found)


def dags_with_pictures(session: Session, dag_ids: Collection[str]) -> list[str]:
    """Return which of the DAGs have made pictures."""
    return sorted(session.scalars(_signed(select(XComModel.dag_id), dag_ids).distinct()))


def _signed(query: Any, dag_ids: Collection[str]) -> Any:
    """Limit a query of XComs to the signs of tasks that made pictures."""
    return (
        query.select_from(XComModel)
        .join(TaskInstance, task_rows.xcom_of_row())
        .where(
            XComModel.key.in_(SIGNS),
            XComModel.dag_id.in_(dag_ids),
            or_(XComModel.key == SUBMITTED, _makes_pictures()),
        )
    )


def _makes_pictures() -> Any:
    # Tasks that only upload or only show pictures do not make any.
    others = (TaskInstance.operator.like(f"%{name}%") for name in ("Upload", "Review"))
    return TaskInstance.operator.like("%GptImg%") & ~or_(*others)


def _with_records(session: Session, rows: Sequence[TaskInstance]) -> list[Task]:
    if not rows:
        return []
    keys = [task_rows.row_key(row) for row in rows]
    left: dict[task_rows.Key, dict[str, Any]] = {key: {} for key in keys}
    for xcom in session.scalars(select(XComModel).where(task_rows.xcoms_at(keys), XComModel.key.in_(VALUES))):
        left[task_rows.xcom_key(xcom)][xcom.key] = _value(xcom.value)
    found = zip(
        rows, keys, task_rows.coordinates_of(session, rows), task_rows.fields_of(session, rows), strict=True
    )
    return [
        _task(session, row, Place(row.dag_id, row.run_id, row.task_id, **vars(at)), left[key], fields)
        for row, key, at, fields in found
    ]


def _task(
    session: Session, row: TaskInstance, place: Place, values: Mapping[str, Any], fields: object
) -> Task:
    result, batch = _dict(values.get("return_value")), _dict(values.get("batch"))
    is_batch = "batch" in values or "manifest" in (result or {})
    return Task(
        place=place,
        state=None if row.state is None else str(getattr(row.state, "value", row.state)),
        started=row.start_date,
        ended=row.end_date,
        result=result,
        generation_id=_str(values.get(SUBMITTED)),
        error=_dict(values.get("error")),
        batch=batch,
        fields=_dict(fields) or {},
        other_conn_ids=_conn_ids(session, place) if is_batch and fields is None else frozenset(),
        pictures=_pictures(values.get("review")),
    )


def _conn_ids(session: Session, place: Place) -> frozenset[str]:
    others = select(TaskInstance).where(
        TaskInstance.dag_id == place.dag_id, TaskInstance.task_id == place.task_id, task_rows.has_fields()
    )
    some = task_rows.with_fields(others.order_by(TaskInstance.run_id.desc()).limit(MAX_FIELDS))
    kept = task_rows.fields_of(session, list(session.scalars(some)))
    conn_ids = ((_dict(fields) or {}).get("conn_id") for fields in kept)
    return frozenset(conn_id for conn_id in conn_ids if isinstance(conn_id, str))


def _value(stored: Any) -> Any:
    # A worker stores a value as JSON text within the JSON column. The REST API of Airflow 3.1 stores JSON
    # text of JSON text. A custom XCom backend may store anything there, which we do not try to read.
    for _ in range(MAX_LAYERS):
        if not isinstance(stored, str) or stored[:1] not in ("{", '"') or len(stored) > MAX_VALUE:
            break
        try:
            stored = json.loads(stored)
        except ValueError:
            break
    return stored


def _pictures(review: Any) -> Sequence[Mapping[str, Any]] | None:
    pictures = (_dict(review) or {}).get("pictures")
    return [one for one in pictures if isinstance(one, dict)] if isinstance(pictures, list) else None


def _dict(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None
