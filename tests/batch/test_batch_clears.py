"""A Clear of a batch makes what is missing, failed or changed, and what ``remake`` names; the rest stays."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.batch.remake import Remake
from airflow_provider_gptimg.files.place import Place
from tests.support.batches import BatchTask, animals, check_paid_once, submissions


@pytest.fixture(autouse=True)
def _quick(emulator: Any) -> None:
    emulator.configure(latency_median=0.05)


class Killed(BaseException):
    """The process is dead."""


def write_csv(path: Path, rows: Iterable[tuple[str, str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "prompt"), *rows])
    return path.as_uri()


def named(**prompts: str) -> list[dict[str, str]]:
    return [{"id": name, "prompt": prompt} for name, prompt in prompts.items()]


def check_files(batch: BatchTask) -> None:
    """Check that each line of the manifest names the picture that lies there, made for its prompt."""
    for line in batch.manifest():
        for image in line["images"]:
            content = Path(image["uri"].removeprefix("file://")).read_bytes()
            assert hashlib.sha256(content).hexdigest() == image["sha256"]


def generations(batch: BatchTask) -> dict[Any, str]:
    return {line["id"] or line["index"]: line["generation_id"] for line in batch.manifest()}


# -- the stories ----------------------------------------------------------------------------------------


def test_a_corrected_row_is_all_that_is_paid(
    emulator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"sku-{number}", prompt) for number, prompt in enumerate(animals(40))]
    rows[17] = ("sku-17", "")
    source = write_csv(tmp_path / "products.csv", rows)
    batch = BatchTask(tmp_path / "out", {"items": source, "on_item_error": "continue"})
    first = batch.attempt()
    assert (first["completed"], first["failed"], first["kept"]) == (39, 1, 0)
    before = generations(batch)
    rows[17] = ("sku-17", "An owl")
    write_csv(tmp_path / "products.csv", rows)
    batch.clear()
    capsys.readouterr()
    second = batch.attempt()
    assert (second["completed"], second["failed"], second["kept"]) == (40, 0, 39)
    assert len(submissions(emulator)) == emulator.ledger()["requests"]["submit"] == 40
    said = capsys.readouterr().out
    assert "Of 40 items, 39 are already stored (39 of them from before the Clear)" in said
    assert "to be made: 1." in said
    after = generations(batch)
    assert {name: made for name, made in after.items() if name != "sku-17"} == {
        name: made for name, made in before.items() if name != "sku-17"
    }
    check_files(batch)


def test_rows_that_are_inserted_moved_and_removed(
    emulator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = named(fox="A fox", bear="A bear", owl="An owl", elk="An elk")
    batch = BatchTask(tmp_path, {"items": items})
    batch.attempt()
    before = generations(batch)
    batch.arguments["items"] = [{"id": "new", "prompt": "A newt"}, items[3], items[0], items[2]]
    batch.clear()
    result = batch.attempt()
    assert (result["total"], result["completed"], result["kept"]) == (4, 4, 3)
    assert len(submissions(emulator)) == 5
    assert "made before and no longer needed: 1." in capsys.readouterr().out
    after = generations(batch)
    assert list(after) == ["new", "elk", "fox", "owl"]
    assert all(after[name] == before[name] for name in ("elk", "fox", "owl"))
    assert len(batch.pictures()) == 5  # nothing is deleted
    check_files(batch)


# -- remake ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "remake", ["bear", ["bear"], "bear, ", "['bear']", 1, [1], "1", "bear,bear", ("bear", 1)]
)
def test_what_is_named_is_made_anew_once(emulator: Any, tmp_path: Path, remake: Any) -> None:
    batch = BatchTask(tmp_path, {"items": named(fox="A fox", bear="A bear"), "remake": remake})
    batch.attempt()
    before = generations(batch)
    assert len(submissions(emulator)) == 2  # a first run has nothing to make anew
    batch.clear()
    result = batch.attempt()
    assert (result["completed"], result["kept"]) == (2, 1)
    after = generations(batch)
    assert after["fox"] == before["fox"]
    assert after["bear"] != before["bear"]
    batch.attempt()  # an attempt that died after its last line
    assert generations(batch) == after
    assert len(submissions(emulator)) == emulator.ledger()["requests"]["submit"] == 3
    assert len(batch.pictures()) == 2
    batch.clear()  # the configuration of the run stays as it was
    batch.attempt()
    assert len(submissions(emulator)) == 4
    batch.arguments["remake"] = None
    batch.clear()
    assert batch.attempt()["kept"] == 2
    assert len(submissions(emulator)) == 4
    check_files(batch)
    check_paid_once(emulator)


@pytest.mark.parametrize("nothing", [None, "", "None", "[]", [], " , "])
def test_templates_that_name_nothing(nothing: Any) -> None:
    assert Remake(nothing, []).unknown == []


def items_with(*ids: Any) -> list[Item]:
    return [Item(index, name, {}, str(index)) for index, name in enumerate(ids)]


@pytest.mark.parametrize(
    ("given", "ids", "places", "unknown"),
    [
        ([1, "0"], [None, None, None], [0, 1], []),
        ("[2, 0]", ["a", "b", "c"], [0, 2], []),
        ("1,2", [2, 1, 0], [0, 1], []),
        ("3", [7, 3, 5], [1], []),
        ("1", [7, 3, 5], [], ["1"]),  # a number that is no id where ids are numbers: a slip
        ("1", [7, None, 5], [1], []),
        ("7", [7, None, None, None, None, None, None, None], [0], []),
        (["a", "x", -1, 9], ["a", "b"], [0], ["-1", "9", "x"]),
    ],
)
def test_which_items_are_named(given: Any, ids: list[Any], places: list[int], unknown: list[str]) -> None:
    items = items_with(*ids)
    remake = Remake(given, items)
    assert [item.index for item in items if item in remake] == places
    assert remake.unknown == unknown


@pytest.mark.parametrize("remake", [{"a": 1}, b"a", 1.5, True, ["a", None], "[1", "{'a': 1}", "{'a'}"])
def test_what_names_no_items_is_refused(emulator: Any, tmp_path: Path, remake: Any) -> None:
    with pytest.raises(exceptions.GptImgValidationError, match="remake"):
        BatchTask(tmp_path, {"items": animals(2), "remake": remake}).attempt()
    assert not submissions(emulator)


def test_names_that_no_item_has_are_said(
    emulator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = BatchTask(tmp_path, {"items": named(fox="A fox"), "remake": "fox, foxx, 7"})
    batch.attempt()
    assert "They are ignored: '7', 'foxx'" in capsys.readouterr().out


@pytest.mark.parametrize("again", [None, ["fox", "bear"]])
@pytest.mark.parametrize("steps", range(1, 12))
def test_a_kill_in_the_middle_of_a_remake(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, again: Any
) -> None:
    items = named(fox="A fox", bear="A bear", elk="An elk")
    batch = BatchTask(tmp_path, {"items": items}, retries=3, max_tries=3)
    batch.attempt()
    batch.arguments |= {"remake": ["fox", "bear"], "max_in_flight": 1}
    batch.clear()
    was_killed = kill_at_put(batch, monkeypatch, steps)
    if was_killed and steps % 2:
        batch.attempt()
        assert len(submissions(emulator)) == 5
    batch.arguments["remake"] = again
    batch.clear()
    batch.attempt()
    rows = submissions(emulator)
    assert len({row["client_business_id"] for row in rows}) == len(rows)
    # Without remake at most what was asked for once; with it what had been given once more.
    assert 3 <= len(rows) <= (5 if again is None else 7)
    result = batch.attempt()
    assert result["completed"] == 3
    assert len(submissions(emulator)) == len(rows)
    check_files(batch)
    check_paid_once(emulator)


def kill_at_put(batch: BatchTask, monkeypatch: pytest.MonkeyPatch, steps: int) -> bool:
    """Run an attempt that dies before its n-th file gets its name; return False if it ended before."""
    left, put = [steps], Place.put

    def mortal_put(*given: Any) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        put(*given)

    with monkeypatch.context() as patched:
        patched.setattr(Place, "put", mortal_put)
        try:
            batch.attempt()
        except Killed:
            return True
    return False


# -- on_clear="new" -------------------------------------------------------------------------------------


def test_all_is_made_anew_where_that_is_asked(emulator: Any, tmp_path: Path) -> None:
    items = animals(3, _2="[fail]")
    batch = BatchTask(tmp_path, {"items": items, "on_clear": "new", "on_item_error": "continue"})
    batch.arguments["max_failed_items"] = 0
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    batch.arguments["items"] = animals(3)
    batch.clear()
    assert batch.attempt()["kept"] == 2  # a batch that failed has given nothing
    assert len(submissions(emulator)) == 3 + 1
    batch.clear()
    assert batch.attempt()["kept"] == 0
    batch.attempt()
    assert len(submissions(emulator)) == 3 + 1 + 3
    assert len(batch.pictures()) == 6


# -- names that items share -----------------------------------------------------------------------------


@pytest.mark.parametrize("file_name", ["{id}", "{item}"])
@pytest.mark.parametrize("compacts", [True, False])
def test_a_prompt_that_was_changed_and_changed_back(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_name: str, *, compacts: bool
) -> None:
    if not compacts:
        monkeypatch.setattr("airflow_provider_gptimg.batch.journal.Journal.compact", lambda journal: None)
    batch = BatchTask(tmp_path, {"items": named(x="A fox"), "file_name": file_name})
    for prompt, paid in [("A fox", 1), ("A bear", 2), ("A fox", 2), ("A fox", 2), ("A bear", 2)]:
        batch.arguments["items"] = named(x=prompt)
        batch.attempt()
        batch.clear()
        assert len(submissions(emulator)) == paid
        check_files(batch)
        assert len(batch.pictures()) == 1


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_kill_between_two_that_share_a_name(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Whoever was stored last before the kill, the file is of what is wanted in the end."""
    monkeypatch.setattr("airflow_provider_gptimg.batch.runner.FLUSH_EVERY", 60.0)
    batch = BatchTask(tmp_path, {"items": named(x="A fox"), "file_name": "{id}"})
    batch.attempt()
    batch.arguments["items"] = named(x="A bear")
    batch.clear()
    kill_at_put(batch, monkeypatch, steps)
    batch.arguments["items"] = named(x="A fox")
    batch.clear()
    batch.attempt()
    check_files(batch)
    assert len(submissions(emulator)) <= 2


def test_what_was_stored_and_failed_later_still_holds_its_name(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": named(x="A fox"), "file_name": "{id}"})
    batch.attempt()
    batch.arguments["items"] = named(x="A bear")
    batch.clear()
    batch.attempt()
    emulator.configure(balance=0)
    batch.arguments["remake"] = "x"
    batch.clear()
    with pytest.raises(exceptions.GptImgQuotaError):
        batch.attempt()
    batch.arguments |= {"items": named(x="A fox"), "remake": None}
    batch.clear()
    batch.attempt()
    check_files(batch)
    assert len(submissions(emulator)) == 2


def test_what_is_made_anew_may_lie_under_the_name_of_another(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": named(x="A fox"), "file_name": "{id}"})
    batch.attempt()
    batch.arguments["items"] = named(x="A bear")
    batch.clear()
    batch.attempt()
    batch.arguments |= {"items": named(x="A fox"), "remake": "x"}
    batch.clear()
    batch.attempt()
    assert len(submissions(emulator)) == 3
    check_files(batch)
