"""The gallery's pages as they are asked for, over what real tasks left in Airflow's database.

Who may see them is among the real ones, with Airflow's auth manager; here everybody may.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.batches import connect, hurry
from tests.support.pipelines import Pipeline, generate

pytestmark = pytest.mark.skipif(not HAS_PLUGIN_PAGES, reason="This Airflow has no pages of plugins")

DAG_ID = "gallery_routes"


class Site:
    """The gallery over a run with a mapped batch (``batches``) and a stored picture (``images``)."""

    def __init__(self, http: Any, run_id: str) -> None:
        self.http = http
        self.run = f"/dags/{DAG_ID}/runs/{run_id}"
        self.sessions: list[Any] = []

    def get(self, path: str, **query: str) -> Any:
        return self.http.get(path, params=query)

    def change(self, task_id: str, map_index: int, **changes: Any) -> None:
        """Change what a task handed on, as whoever may write XComs can."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            where = {"dag_id": DAG_ID, "task_id": task_id, "map_index": map_index, "key": "return_value"}
            for row in session.query(XComModel).filter_by(**where):
                row.value = {
                    **(json.loads(row.value) if isinstance(row.value, str) else row.value),
                    **changes,
                }


@pytest.fixture
def site(
    gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: None, quick: None
) -> Site:
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.utils.session import create_session
    from starlette.testclient import TestClient

    from airflow_provider_gptimg.gallery.access import MAY_SEE_TASK, viewer
    from airflow_provider_gptimg.gallery.app import app

    hurry(monkeypatch)
    connect(monkeypatch, gptimg_emulator)
    pipeline = Pipeline(DAG_ID)
    with pipeline.tasks():
        generate(output_path=tmp_path.as_uri())
        GptImgBatchOperator.partial(
            task_id="batches", output_path=tmp_path.as_uri(), poll_interval=0.2, deferrable=False
        ).expand(items=[["A fox", "A bear"], ["An owl"], ["A hen"]])
    assert pipeline.run() == "success"
    site = Site(TestClient(app, raise_server_exceptions=False), pipeline._run.run_id)

    def session() -> Iterator[Any]:
        with create_session(scoped=False) as session:
            site.sessions.append(session)
            yield session

    everybody = SimpleNamespace(readable_dags=lambda: {DAG_ID}, may_see=lambda dag_id: True)
    rights = {right.dependency: lambda: None for right in MAY_SEE_TASK}
    monkeypatch.setattr(
        app, "dependency_overrides", {_get_session: session, viewer: lambda: everybody, **rights}
    )
    return site


def test_pages(site: Site) -> None:
    page = site.get(site.run)
    assert page.status_code == 200
    assert [page.text.count(f'alt="{animal}"') for animal in ("A fox", "An owl", "A hen")] == [2, 1, 1]
    assert "A bear" in site.get("/").text
    picture = site.get(f"{site.run}/tasks/images/-1/pictures/0/0")
    assert picture.headers["content-type"] == "image/png"
    assert site.get(f"{site.run}/tasks/images/-1/pictures/0/0", small="1").status_code == 200


def test_one_batch_that_cannot_be_read_hides_no_other(site: Site) -> None:
    site.change("batches", 1, manifest="s3://elsewhere/theirs.jsonl")
    for address in (site.run, f"{site.run}/tasks/batches"):
        page = site.get(address).text
        assert "not the task&#39;s own" in page
        assert 'alt="A bear"' in page
        assert 'alt="A hen"' in page
        assert 'alt="An owl"' not in page
    assert site.get(f"{site.run}/tasks/batches/1/pictures/0/0").status_code == 404


def test_of_a_run_whose_fields_airflow_keeps_no_more(site: Site) -> None:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Fields).filter(Fields.dag_id == DAG_ID, Fields.map_index == 0).delete()
    page = site.get(f"{site.run}/tasks/batches", map_index="0").text
    assert 'alt="A bear"' in page
    site.change("batches", 0, manifest="s3://elsewhere/theirs.jsonl")
    assert "not the task&#39;s own" in site.get(f"{site.run}/tasks/batches", map_index="0").text


def test_any_day_has_an_answer(site: Site) -> None:
    for query in (
        {"until": "9999-12-31"},
        {"since": "9999-12-31"},
        {"since": "0001-01-01", "until": "0001-01-01"},
        {"until": "1-1-1"},
    ):
        assert site.get("/", **query).status_code == 200


def test_any_map_index_has_an_answer(site: Site) -> None:
    for index in ("--5", "5-", "-", "٣", "9999999999", "{MAP_INDEX}"):
        assert site.get(f"{site.run}/tasks/batches", map_index=index).status_code == 200
    for index in (2**31, 2**63, 10**30, -2):
        for rest in ("pictures/0/0", "progress/0"):
            assert site.get(f"{site.run}/tasks/batches/{index}/{rest}").status_code == 422
    assert site.get(f"{site.run}/tasks/batches/{2**31 - 1}/pictures/0/0").status_code == 404


def test_the_database_is_not_held_while_storage_is_read(site: Site, tmp_path: Path) -> None:
    (picture,) = tmp_path.glob("images-*.png")
    picture.unlink()
    os.mkfifo(picture)  # whoever reads it waits for somebody who writes
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.get, f"{site.run}/tasks/images/-1/pictures/0/0")
        give_up_at = time.monotonic() + 20
        while True:
            try:
                writer = os.open(picture, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads it yet
                assert time.monotonic() < give_up_at
                time.sleep(0.05)
            else:
                break
        held = [session.in_transaction() for session in site.sessions]
        os.close(writer)
        assert asked.result(timeout=20).status_code == 404
    assert held == [False]
