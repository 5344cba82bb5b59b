"""Changes of what Airflow's database has of a task, made as each Airflow allows them."""

from __future__ import annotations

import json
from typing import Any


def change_result(dag_id: str, task_id: str, map_index: int, **changes: Any) -> None:
    """Change what a task handed on."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    where = {"dag_id": dag_id, "task_id": task_id, "map_index": map_index, "key": "return_value"}
    with create_session() as session:
        for row in session.query(XComModel).filter_by(**where):
            value = {**(json.loads(row.value) if isinstance(row.value, str) else row.value), **changes}
            if hasattr(XComModel, "set_for_attempt"):  # Airflow 3.4
                XComModel.set_for_attempt(
                    task_instance_id=row.task_instance_id, key=row.key, value=value, session=session
                )
            else:
                row.value = value


def forget_fields(dag_id: str, map_index: int) -> None:
    """Delete the rendered fields of task instances, as Airflow does with those of runs that are long ago."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    where = {"dag_id": dag_id, "map_index": map_index}
    with create_session() as session:
        if hasattr(Fields, "delete_for_attempts"):  # Airflow 3.4
            Fields.delete_for_attempts(
                producer_ids=select(TaskInstance.id).filter_by(**where), session=session
            )
        else:
            session.query(Fields).filter_by(**where).delete()
