"""Links on the pages of task instances, which lead into the gallery."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

HEADER_ALONE = re.compile(r"def get_user\((?!\s*request\b)")


def knows_who_looks(source: str) -> bool:
    """Return whether Airflow tells the page of a plugin who is looking.

    A browser sends a cookie for it, and Airflow 3.1.0 looked into a header alone: every page answered 401.

    :param source: of Airflow's own routes' security, which is read because to import it takes seconds.
    """
    return not HEADER_ALONE.search(source)


def _source(module: str) -> str:
    try:
        spec = find_spec(module)
        return Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
    except (ImportError, OSError):  # no API server is here; the one that there is will know
        return ""


HAS_GALLERY = hasattr(AirflowPlugin, "external_views") and knows_who_looks(
    _source("airflow.api_fastapi.core_api.security")
)
"""Whether this Airflow shows pages of plugins, and tells them who is looking: 3.1.1 and newer."""

MOST_PICTURES = 10
"""Pictures that have a link of their own. Airflow keeps an XCom for each link that a running task has."""


class ImagesLink(BaseOperatorLink):
    """Leads to the pictures that a task instance made."""

    name = "Images"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, relative to Airflow's own so that it holds wherever Airflow lives.

        :param ti_key: the task instance's ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
        """
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"{_place('dags', ti_key)}{mapped}/plugin/gptimg-images"


class PictureLink(BaseOperatorLink):
    """Leads to one picture of a task instance: stored, at the service, still coming or failed.

    :param index: its index in its generation.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index

    @property
    def name(self) -> str:
        """What the link is called in the UI."""
        return f"Image {self.index + 1}"

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the address."""
        return f"_link_PictureLink_{self.index}"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, relative to Airflow's own.

        :param ti_key: the task instance's ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
        """
        return f"{_place('gptimg/dags', ti_key)}?map_index={ti_key.map_index}#picture-0-{self.index}"


def links_of(pictures: object = MOST_PICTURES) -> tuple[BaseOperatorLink, ...]:
    """Return the links of a task.

    :param pictures: how many it makes; whatever is no number, such as a template of one, for not known.
    """
    if not HAS_GALLERY:
        return ()
    most = pictures if isinstance(pictures, int) and pictures < MOST_PICTURES else MOST_PICTURES
    return (ImagesLink(), *map(PictureLink, range(most)))


def _place(prefix: str, ti_key: Any) -> str:
    dag, run, task = (quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
    return f"{prefix}/{dag}/runs/{run}/tasks/{task}"
