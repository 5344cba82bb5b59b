"""The gallery's pages as they are asked for, over what real tasks left in Airflow's database.

Who may see them is among the real ones, with Airflow's auth manager; here everybody may.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.batches import connect, hurry
from tests.support.gallery_pages import Pages
from tests.support.gallery_rows import change_result, forget_fields
from tests.support.pipelines import Pipeline, generate

pytestmark = pytest.mark.skipif(not HAS_PLUGIN_PAGES, reason="This Airflow has no pages of plugins")

DAG_ID = "gallery_routes"


@pytest.fixture
def site(
    gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: None, quick: None
) -> Pages:
    """The gallery over a run with a mapped batch (``batches``) and a stored picture (``images``)."""
    hurry(monkeypatch)
    connect(monkeypatch, gptimg_emulator)
    pipeline = Pipeline(DAG_ID)
    with pipeline.tasks():
        generate(output_path=tmp_path.as_uri())
        GptImgBatchOperator.partial(
            task_id="batches", output_path=tmp_path.as_uri(), poll_interval=0.2, deferrable=False
        ).expand(items=[["A fox", "A bear"], ["An owl"], ["A hen"]])
    assert pipeline.run() == "success"
    return Pages(monkeypatch, DAG_ID, pipeline._run.run_id)


def test_pages(site: Pages) -> None:
    page = site.get(site.run)
    assert page.status_code == 200
    assert [page.text.count(f'alt="{animal}"') for animal in ("A fox", "An owl", "A hen")] == [2, 1, 1]
    assert "A bear" in site.get("/").text
    picture = site.get(f"{site.run}/tasks/images/-1/pictures/0/0")
    assert picture.headers["content-type"] == "image/png"
    assert site.get(f"{site.run}/tasks/images/-1/pictures/0/0", small="1").status_code == 200


def test_a_picture_can_be_kept(site: Pages, tmp_path: Path) -> None:
    picture = f"{site.run}/tasks/images/-1/pictures/0/0"
    kept = site.get(picture, download="1")
    (stored,) = tmp_path.glob("images-*.png")
    assert kept.content == stored.read_bytes()
    assert kept.headers["content-disposition"] == f"attachment; filename*=UTF-8''{stored.name}"
    assert "content-disposition" not in site.get(picture).headers


def test_one_batch_that_cannot_be_read_hides_no_other(site: Pages) -> None:
    change_result(DAG_ID, "batches", 1, manifest="s3://elsewhere/theirs.jsonl")
    for address in (site.run, f"{site.run}/tasks/batches"):
        page = site.get(address).text
        assert "does not belong to the task" in page
        assert 'alt="A bear"' in page
        assert 'alt="A hen"' in page
        assert 'alt="An owl"' not in page
    assert site.get(f"{site.run}/tasks/batches/1/pictures/0/0").status_code == 404


def test_of_a_run_whose_fields_airflow_keeps_no_more(site: Pages) -> None:
    forget_fields(DAG_ID, 0)
    page = site.get(f"{site.run}/tasks/batches", map_index="0").text
    assert 'alt="A bear"' in page
    change_result(DAG_ID, "batches", 0, manifest="s3://elsewhere/theirs.jsonl")
    assert "does not belong to the task" in site.get(f"{site.run}/tasks/batches", map_index="0").text


def test_any_day_has_an_answer(site: Pages) -> None:
    for query in (
        {"until": "9999-12-31"},
        {"since": "9999-12-31"},
        {"since": "0001-01-01", "until": "0001-01-01"},
        {"until": "1-1-1"},
    ):
        assert site.get("/", **query).status_code == 200


def test_any_map_index_has_an_answer(site: Pages) -> None:
    for index in ("--5", "5-", "-", "٣", "9999999999", "{MAP_INDEX}"):
        assert site.get(f"{site.run}/tasks/batches", map_index=index).status_code == 200
    for index in (2**31, 2**63, 10**30, -2):
        for rest in ("pictures/0/0", "progress/0"):
            assert site.get(f"{site.run}/tasks/batches/{index}/{rest}").status_code == 422
    assert site.get(f"{site.run}/tasks/batches/{2**31 - 1}/pictures/0/0").status_code == 404


def test_the_database_is_not_held_while_storage_is_read(site: Pages, tmp_path: Path) -> None:
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
