"""Whose manifest and journal the gallery shows: only what the batch itself wrote, whatever an XCom says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.gallery import task_cards
from airflow_provider_gptimg.gallery.cards import Place
from airflow_provider_gptimg.gallery.stored_files import Gone
from tests.support.batches import BatchTask, connect, hurry
from tests.support.galleries import CONN_ID, NOW, PLACE, manifest, task

THEIRS = Place("batch", "run", "images", -1)
OTHERS = [
    Place("mine", "run", "images", -1),
    Place("batch", "another", "images", -1),
    Place("batch", "run", "others", -1),
    Place("batch", "run", "images", 0),
]


@pytest.fixture
def batch(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BatchTask:
    """A batch that has made its pictures, with what it has left in its XComs."""
    hurry(monkeypatch)
    connect(monkeypatch, gptimg_emulator)
    batch = BatchTask(tmp_path, {"items": ["A secret fox", "A secret bear"]})
    batch.xcoms["return_value"] = batch.attempt()
    return batch


def shown(batch: BatchTask, place: Place, **changes: Any) -> list[str | None]:
    """Return the prompts that are shown of a task with a batch's manifest, and with its journal alone."""
    known = {"place": place, "batch": batch.xcoms["batch"], **changes}
    finished, under_way = task(result=batch.xcoms["return_value"], **known), task(state="running", **known)
    prompts = [card.prompt for one in (finished, under_way) for card in task_cards.cards(one, NOW)]
    assert task_cards.progress(under_way) == "2 done, 0 under way, 0 failed, of 2"
    assert [task_cards.card_at(one, 1, 0, NOW).item for one in (finished, under_way)] == [1, 1]
    return prompts


def test_a_batch_shows_its_own_pictures(batch: BatchTask) -> None:
    assert shown(batch, THEIRS) == ["A secret fox", "A secret bear"] * 2


@pytest.mark.parametrize("place", OTHERS, ids=str)
def test_nobody_elses(batch: BatchTask, place: Place) -> None:
    finished = task(place=place, result=batch.xcoms["return_value"])
    under_way = task(place=place, state="running", batch=batch.xcoms["batch"])
    for one in (finished, under_way):
        shown = task_cards.card_page([one], NOW)
        assert shown.cards == []
        assert shown.progress is None
        assert "does not belong to the task" in str(shown.problem)
        with pytest.raises(Gone):
            task_cards.card_at(one, 0, 0, NOW)
    for look in (task_cards.item_count, task_cards.progress):
        with pytest.raises(Gone, match="does not belong to the task"):
            look(under_way)


def test_of_a_run_long_ago_the_connection_is_one_of_those_of_other_runs(batch: BatchTask) -> None:
    long_ago: dict[str, Any] = {"fields": {}, "other_conn_ids": frozenset({"another", CONN_ID})}
    assert len(shown(batch, THEIRS, **long_ago)) == 4
    for place in OTHERS:
        with pytest.raises(Gone, match="does not belong to the task"):
            shown(batch, place, **long_ago)
    with pytest.raises(Gone, match="no longer knows which connection"):
        shown(batch, THEIRS, fields={})


@pytest.mark.parametrize(
    "name",
    [
        "{theirs}?versionId=/{own}",  # what a store takes for a version of the first
        "{theirs}#/{own}",
        "{theirs}::file:///{own}",
        "{theirs}\\{own}",
        "{own}.jsonl",
        "{own}/",
        "{own}\n",
        "x{own}",
    ],
)
def test_an_address_that_could_mean_another_file_is_not_read(tmp_path: Path, name: str) -> None:
    own = manifest(tmp_path, [{"request": {"prompt": "a"}}])["manifest"].rpartition("/")[2]
    uri = f"s3://bucket/{name.format(theirs='theirs.jsonl', own=own)}"
    assert own in uri
    with pytest.raises(Gone, match="does not belong to the task"):
        task_cards.cards(task(place=PLACE, result={"manifest": uri, "completed": 1}), NOW)
