"""A batch with a cache: the second night pays for what changed, and equal items are paid once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from airflow_provider_gptimg.exceptions import GptImgBatchError
from tests.support.batches import BatchTask, animals


@pytest.fixture
def night(tmp_path: Path) -> Any:
    """Return a function that makes the task of another night."""
    nights = iter(range(100))

    def begin(items: Any, **arguments: Any) -> BatchTask:
        folder = tmp_path / f"night-{next(nights)}"
        fixed = {"items": items, "cache_path": tmp_path / "cache"}
        return BatchTask(folder, {**fixed, **arguments}, run_id=folder.name)

    return begin


def paid(emulator: Any) -> int:
    return len(emulator.ledger()["submissions"])


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path_of(result["manifest"]).read_text().splitlines()]


def path_of(uri: str) -> Path:
    return Path(urlsplit(uri).path)


def test_the_second_night_pays_for_what_changed(emulator: Any, night: Any) -> None:
    first = night(animals(20)).attempt()
    assert (first["cached"], first["saved_usd"]) == (0, 0.0)
    before = emulator.ledger()["requests"]
    second = night([*animals(19), "A changed animal"]).attempt()
    assert (second["completed"], second["cached"], second["submissions"]) == (20, 19, 1)
    assert second["cost_usd"] == pytest.approx(0.015)
    assert second["saved_usd"] == pytest.approx(19 * 0.015)
    assert paid(emulator) == 21
    after = emulator.ledger()["requests"]
    assert after["submit"] == before["submit"] + 1
    for line in lines(second):
        (image,) = line["images"]
        with Image.open(path_of(image["uri"])) as picture:
            assert picture.size == (image["width"], image["height"])
        assert path_of(image["uri"]).parent == path_of(second["manifest"]).parent
    assert [line["cached"] for line in lines(second)] == [True] * 19 + [False]
    assert [line["generation_id"] for line in lines(second)][:19] == [
        line["generation_id"] for line in lines(first)
    ][:19]


def test_an_unchanged_night_asks_the_service_nothing(emulator: Any, night: Any) -> None:
    night(animals(5)).attempt()
    before = emulator.ledger()["requests"]
    result = night(animals(5)).attempt()
    assert (result["cached"], result["submissions"], result["cost_usd"]) == (5, 0, 0.0)
    assert emulator.ledger()["requests"] == before


def test_equal_items_are_paid_once(emulator: Any, night: Any) -> None:
    items = [{"id": f"sku-{number}", "prompt": "A cup" if number < 3 else "A jug"} for number in range(5)]
    result = night(items, file_name="{id}").attempt()
    assert paid(emulator) == 2
    assert (result["completed"], result["cached"], result["submissions"]) == (5, 3, 2)
    hashes = [line["images"][0]["sha256"] for line in lines(result)]
    assert len(set(hashes)) == 2
    assert hashes[0] == hashes[1] == hashes[2]


def test_where_the_one_that_makes_it_fails_another_does(emulator: Any, night: Any) -> None:
    emulator.faults([{"on": "submit", "kind": "status", "status": 422, "times": 1}])
    task = night(["A cup"] * 3, on_item_error="continue")
    result = task.attempt()
    assert (result["completed"], result["failed"]) == (2, 1)
    assert paid(emulator) == 1


def test_a_retry_finds_what_was_paid_before_it_looks_into_the_cache(emulator: Any, night: Any) -> None:
    emulator.faults([{"on": "download", "kind": "status", "status": 500, "times": 100}])
    task = night(["A cup", "A jug"])
    with pytest.raises(GptImgBatchError):
        task.attempt()
    emulator.faults([])
    result = task.attempt()
    assert (result["completed"], result["cached"]) == (2, 0)
    assert paid(emulator) == 2


def test_remake_pays_and_replaces_the_entry(emulator: Any, night: Any) -> None:
    night(animals(2)).attempt()
    task = night(animals(2))
    task.attempt()
    task.clear()
    task.arguments["remake"] = [0]
    remade = task.attempt()
    assert paid(emulator) == 3
    third = night(animals(2)).attempt()
    assert paid(emulator) == 3
    assert [line["generation_id"] for line in lines(third)] == [
        line["generation_id"] for line in lines(remade)
    ]


def test_a_clear_that_makes_all_anew_replaces_all(emulator: Any, night: Any) -> None:
    night(animals(2)).attempt()
    task = night(animals(2), on_clear="new")
    assert task.attempt()["cached"] == 2
    task.clear()
    assert task.attempt()["cached"] == 0
    assert paid(emulator) == 4
    assert night(animals(2)).attempt()["cached"] == 2


def test_damaged_pictures_are_made_anew(emulator: Any, night: Any, tmp_path: Path) -> None:
    night(animals(4)).attempt()
    pictures = sorted((tmp_path / "cache").glob("??/*.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:-1])
    content = pictures[2].read_bytes()
    pictures[2].write_bytes(b"x" * len(content))
    result = night(animals(4)).attempt()
    assert (result["completed"], result["cached"], result["submissions"]) == (4, 1, 3)
    reasons = {line["not_cached"] for line in lines(result) if not line["cached"]}
    assert reasons <= {None, "an entry is damaged", "one of its pictures is damaged"}
    assert paid(emulator) == 7


def test_a_damaged_picture_is_made_anew_when_nothing_else_is_to_be_made(
    emulator: Any, night: Any, tmp_path: Path
) -> None:
    night(animals(1)).attempt()
    (picture,) = (tmp_path / "cache").glob("??/*.png")
    picture.write_bytes(b"x" * picture.stat().st_size)
    result = night(animals(1)).attempt()
    assert (result["completed"], result["cached"], result["submissions"]) == (1, 0, 1)
    assert paid(emulator) == 2


def test_what_changed_is_in_the_manifest(emulator: Any, night: Any, tmp_path: Path) -> None:
    where = {"file_name": "{id}", "cache_path": tmp_path / "cache"}
    task = night([{"id": "cup", "prompt": "A cup"}], **where)
    task.attempt()
    other = BatchTask(task.folder, {"items": [{"id": "cup", "prompt": "A red cup"}], **where}, run_id="other")
    (line,) = lines(other.attempt())
    assert (line["cached"], line["not_cached"]) == (False, "changed: prompt")


def test_a_file_that_changes_under_way_takes_no_key_that_is_not_its_own(
    emulator: Any, night: Any, tmp_path: Path
) -> None:
    cup, old, new = tmp_path / "cup.png", "red", "blue"
    items = [{"prompt": "The cup in snow", "reference_images": [str(cup)]}]

    def paint(colour: str) -> None:
        Image.new("RGB", (8, 8), colour).save(cup)

    paint(old)
    task = night(items)
    emulator.faults([{"on": "download", "kind": "status", "status": 500, "times": 100}])
    with pytest.raises(GptImgBatchError):
        task.attempt()
    emulator.faults([])
    paint(new)
    made_of_the_old = lines(task.attempt())[0]["generation_id"]
    assert paid(emulator) == 1
    assert night(items).attempt()["cached"] == 0
    paint(old)
    (line,) = lines(night(items).attempt())
    assert (line["cached"], line["generation_id"]) == (True, made_of_the_old)
    assert paid(emulator) == 2


def test_a_limit_counts_only_what_is_paid(emulator: Any, night: Any) -> None:
    night(animals(5)).attempt()
    result = night([*animals(5), "A new animal"], max_cost_usd=0.02).attempt()
    assert (result["completed"], result["cached"]) == (6, 5)
