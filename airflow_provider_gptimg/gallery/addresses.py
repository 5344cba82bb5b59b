"""Addresses of the gallery's pages and pictures, and of Airflow's own pages that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from airflow_provider_gptimg.gallery.cards import Card, Place
from airflow_provider_gptimg.gallery.plugin import PREFIX


@dataclass(frozen=True)
class Addresses:
    """Addresses for a page; Airflow may live below a path.

    :param root: where the gallery is, without a slash at the end.
    """

    root: str

    @property
    def airflow(self) -> str:
        """Where Airflow is, without a slash at the end."""
        return self.root.removesuffix(PREFIX)

    def latest(self) -> str:
        """Return the gallery's first page."""
        return f"{self.root}/"

    def latest_tab(self) -> str:
        """Return Airflow's page that holds it."""
        return f"{self.airflow}/plugin/gptimg-latest"

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the gallery's page of a run."""
        return f"{self.root}/{_path(dags=dag_id, runs=run_id)}"

    def run_tab(self, dag_id: str, run_id: str) -> str:
        """Return Airflow's page that holds it."""
        return f"{self.airflow}/{_path(dags=dag_id, runs=run_id)}/plugin/gptimg-run-images"

    def all_of_task(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the gallery's page of all instances of a task in a run."""
        return f"{self.root}/{_path(dags=dag_id, runs=run_id, tasks=task_id)}"

    def task(self, place: Place) -> str:
        """Return the gallery's page of a task instance."""
        query = {"map_index": place.map_index, **_region(place)}
        return f"{self.all_of_task(place.dag_id, place.run_id, place.task_id)}?{urlencode(query)}"

    def task_tab(self, place: Place) -> str:
        """Return Airflow's page that holds it."""
        return self._of_task(place, "/plugin/gptimg-images")

    def airflow_task(self, place: Place) -> str:
        """Return Airflow's own page of a task instance."""
        return self._of_task(place, "")

    def airflow_run(self, dag_id: str, run_id: str) -> str:
        """Return Airflow's own page of a run."""
        return f"{self.airflow}/{_path(dags=dag_id, runs=run_id)}"

    def picture(self, card: Card, *, small: bool = False) -> str:
        """Return the address from which a browser loads a card's picture; only for a picture that exists."""
        if card.url is not None and not (small and card.is_large):
            return card.url
        return self._picture(card, {"small": "1"} if small else {})

    def download(self, card: Card) -> str:
        """Return the download address of a picture, stored or not; only for a picture that exists."""
        return self._picture(card, {"download": "1"})

    def progress(self, card: Card) -> str | None:
        """Return the address for the progress of a picture that is still coming; None without an id."""
        if card.generation_id is None:
            return None
        address, region = f"{self._instance(card.place)}/progress/{card.item}", _region(card.place)
        return f"{address}?{urlencode(region)}" if region else address

    def _picture(self, card: Card, query: dict[str, str]) -> str:
        # Includes the hash, so that a picture that was made again shows at once.
        version = {"v": (card.sha256 or card.generation_id or "")[:12]}
        address = f"{self._instance(card.place)}/pictures/{card.item}/{card.index}"
        return f"{address}?{urlencode({**query, **_region(card.place), **version})}"

    def _instance(self, place: Place) -> str:
        return f"{self.all_of_task(place.dag_id, place.run_id, place.task_id)}/{place.map_index}"

    def _of_task(self, place: Place, rest: str) -> str:
        path = _path(dags=place.dag_id, runs=place.run_id, tasks=place.task_id)
        mapped = f"/mapped/{place.map_index}" if place.map_index >= 0 else ""
        query = f"?{urlencode(_region(place))}" if place.region_id is not None else ""
        return f"{self.airflow}/{path}{mapped}{rest}{query}"


def _path(**parts: str) -> str:
    return "/".join(f"{name}/{quote(id_, safe='')}" for name, id_ in parts.items())


def _region(place: Place) -> dict[str, str]:
    # The parameters that Airflow's own pages use to tell the iterations of a loop apart.
    if place.region_id is None:
        return {}
    return {"region_id": place.region_id, "region_index": str(place.region_index)}
