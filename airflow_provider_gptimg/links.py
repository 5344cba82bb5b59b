"""Links from the pages of task instances into the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES
from airflow_provider_gptimg.compat.task_instance import region_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

MOST_PICTURES = 10
"""The most pictures with their own link. Airflow keeps an XCom for each link of a running task."""


class ImagesLink(BaseOperatorLink):
    """A link to the pictures that a task instance made."""

    name = "Images"

    def get_link(self, operator: BaseOperator | Any, *, ti_key: Any) -> str:
        """Return the address, relative to Airflow's own, so that it works wherever Airflow runs.

        :param ti_key: the running task instance.
        """
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        address = f"{_place('dags', ti_key)}{mapped}/plugin/gptimg-images"
        region = _region(ti_key)
        return f"{address}?{urlencode(region)}" if region else address


class PictureLink(BaseOperatorLink):
    """A link to one picture of a task instance. It may be stored, at the service, still coming, or failed.

    :param index: the picture's index in its generation.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index

    @property
    def name(self) -> str:
        """The link's label in the UI."""
        return f"Image {self.index + 1}"

    @property
    def xcom_key(self) -> str:
        """The XCom key under which Airflow keeps the address."""
        return f"_link_PictureLink_{self.index}"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, relative to Airflow's own.

        :param ti_key: the running task instance.
        """
        query = urlencode({"map_index": ti_key.map_index, **_region(ti_key)})
        return f"{_place('gptimg/dags', ti_key)}?{query}#picture-0-{self.index}"


def links_of(pictures: object = MOST_PICTURES) -> tuple[BaseOperatorLink, ...]:
    """Return the links of a task.

    :param pictures: how many the task makes. A value that is no number, such as a template, means that it is
        not known yet.
    """
    if not HAS_PLUGIN_PAGES:
        return ()
    most = pictures if isinstance(pictures, int) and pictures < MOST_PICTURES else MOST_PICTURES
    return (ImagesLink(), *map(PictureLink, range(most)))


def images_url(ti: Any) -> str | None:
    """Return the full address of a task instance's pictures, or of its log if there is no gallery."""
    if not HAS_PLUGIN_PAGES:
        return getattr(ti, "log_url", None)
    base = conf.get("api", "base_url", fallback="/")
    return f"{base.rstrip('/')}/{ImagesLink().get_link(ti, ti_key=ti)}"


def picture_address(ti_key: Any, item: int, index: int, version: str, query: dict[str, str]) -> str:
    """Return the address of a picture in the gallery, relative to Airflow's own address.

    :param ti_key: the running task instance.
    :param version: changes together with the picture, so that no browser shows an older one.
    :param query: see the gallery's route.
    """
    address = f"{_place('gptimg/dags', ti_key)}/{ti_key.map_index}/pictures/{item}/{index}"
    return f"{address}?{urlencode({**query, **_region(ti_key), 'v': version})}"


def _place(prefix: str, ti_key: Any) -> str:
    dag, run, task = (quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
    return f"{prefix}/{dag}/runs/{run}/tasks/{task}"


def _region(ti_key: Any) -> dict[str, str]:
    # The parameters that Airflow's own pages use to tell the iterations of a loop apart.
    return dict(zip(("region_id", "region_index"), region_of(ti_key), strict=False))
