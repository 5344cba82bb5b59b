"""Links on the pages of task instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


class ImagesLink(BaseOperatorLink):
    """Leads to the pictures that a task instance made, which Airflow 3.1 and newer show."""

    name = "Images"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, relative to Airflow's own so that it holds wherever Airflow lives.

        :param ti_key: the task instance's ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
        """
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        dag, run, task = (quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        return f"dags/{dag}/runs/{run}/tasks/{task}{mapped}/plugin/gptimg-images"
