"""The journal of a batch: whatever a crash leaves behind, what was noted is known again."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.batch import journal as module
from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, INTENDED, SUBMITTED, WITHDRAWN, Journal
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.payment.receipt import Receipt


def opened(folder: Path, attempt: int = 1) -> Journal:
    journal = Journal(Place.of(folder.as_uri()), attempt)
    journal.open()
    return journal


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def paid(journal: Journal, key: str, **facts: Any) -> None:
    journal.note(
        key, SUBMITTED, generation_id=f"task_{key}", ordinal=2, submissions=2, submitted_at=5.0, **facts
    )


def test_what_is_known_of_a_submission_is_kept_from_note_to_note(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.note("a", INTENDED)
    paid(journal, "a")
    journal.note("a", FAILED, error={"reason": "download", "message": "broken"})
    journal.flush()
    again = opened(tmp_path, attempt=2)
    assert again.states == journal.states
    state = again.states["a"]
    assert (state.status, state.attempt, state.reason) == (FAILED, 1, "download")
    assert state.receipt == Receipt(generation_id="task_a", ordinal=2, submissions=2, submitted_at=5.0)
    with again.records() as record_of:
        assert (record_of("a") or {})["error"]["message"] == "broken"
        assert record_of("b") is None


def test_nothing_is_written_while_nothing_is_noted(tmp_path: Path) -> None:
    journal = opened(tmp_path / "folder")
    journal.flush()
    journal.compact()
    assert not (tmp_path / "folder").exists()


def test_a_torn_line_and_what_others_left_are_passed_over(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    paid(journal, "a")
    paid(journal, "b")
    journal.flush()
    (segment,) = tmp_path.iterdir()
    whole = segment.read_text()
    segment.write_text(whole[: whole.rindex('"attempt"')])
    (tmp_path / "00000002-abcdef01.jsonl").write_bytes(b'\xff\n[]\n"a"\n{"key": "c"}\nnull\n')
    (tmp_path / "README.jsonl").write_text('{"key": "d", "status": "completed", "attempt": 1}')
    (tmp_path / ".00000003-abcdef01.jsonl.part").write_text('{"key": "e"')
    (tmp_path / "notes").mkdir()
    assert set(opened(tmp_path).states) == {"a"}


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path, attempt=2)
    for number in range(3):
        paid(first, f"a{number}")
        paid(second, f"b{number}")
        first.flush()
        second.flush()
    assert len(opened(tmp_path).states) == 6
    assert len(segments(tmp_path)) == 6


def test_threads_that_note_and_flush_at_once_lose_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            journal.flush()

    flushers = [threading.Thread(target=flush) for _ in range(3)]
    for thread in flushers:
        thread.start()
    for number in range(3_000):
        journal.note(str(number), INTENDED)
    done.set()
    for thread in flushers:
        thread.join()
    journal.flush()
    assert len(opened(tmp_path).states) == 3_000


def test_what_could_not_be_written_is_written_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    paid(journal, "a")
    with monkeypatch.context() as broken:
        broken.setattr(Place, "put", _broken)
        with pytest.raises(ApiError, match="disk full") as failed:
            journal.flush()
        assert failed.value.kind is Kind.STORAGE
    paid(journal, "b")
    journal.flush()
    assert list(opened(tmp_path).states) == ["a", "b"]


def _broken(*_: object) -> None:
    raise OSError("disk full")


def test_compacting_keeps_the_latest_of_each_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_LINES", 4)
    journal = opened(tmp_path)
    for number in range(10):
        journal.note(str(number), INTENDED)
        paid(journal, str(number))
        journal.flush()
    before = journal.states
    journal.compact()
    assert len(segments(tmp_path)) == 3
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == 10
    assert opened(tmp_path).states == before
    paid(journal, "10")
    journal.flush()
    assert len(opened(tmp_path).states) == 11


def test_many_segments_are_compacted_when_the_journal_is_opened(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for number in range(module.MANY_SEGMENTS + 1):
        paid(journal, str(number))
        journal.flush()
    again = opened(tmp_path, attempt=2)
    assert len(segments(tmp_path)) == 1
    assert again.states == journal.states
    paid(again, "new")
    again.flush()
    assert len(opened(tmp_path).states) == module.MANY_SEGMENTS + 2


@pytest.mark.parametrize("survivors", [0, 3, 7])
def test_a_crash_between_writing_and_deleting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    monkeypatch.setattr(module, "SEGMENT_LINES", 2)
    journal = opened(tmp_path)
    for number in range(8):
        paid(journal, str(number % 4))
        journal.note(str(number % 4), FAILED if number < 4 else COMPLETED, index=number)
        journal.flush()
    deleted = Place.remove
    left = list(range(survivors))

    def remove(place: Place) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        deleted(place)

    with monkeypatch.context() as crash:
        crash.setattr(Place, "remove", remove)
        with pytest.raises(KeyboardInterrupt):
            journal.compact()
    assert opened(tmp_path).states == journal.states
    journal = opened(tmp_path, attempt=2)
    journal.compact()
    assert opened(tmp_path).states == journal.states
    assert len(segments(tmp_path)) == 2


def test_an_attempt_thought_dead_cannot_undo_what_is_completed(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path, attempt=2)
    paid(first, "a")
    first.flush()
    paid(second, "a")
    second.note("a", COMPLETED, index=0, images=[{"uri": "file:///a.png"}])
    second.flush()
    first.note("a", FAILED, error={"reason": "timeout", "message": ""})
    first.flush()
    first.flush()
    again = opened(tmp_path)
    assert again.states["a"].status == COMPLETED
    with again.records() as record_of:
        assert (record_of("a") or {})["images"] == [{"uri": "file:///a.png"}]


def test_half_a_surrogate_pair_is_no_reason_to_fail(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.note("a", FAILED, error={"reason": "invalid", "message": "\udc80"})
    journal.flush()
    (segment,) = tmp_path.iterdir()
    assert json.loads(segment.read_text())["error"]["message"] == "\udc80"


def test_a_late_word_of_an_older_attempt_does_not_hide_what_a_newer_one_paid(tmp_path: Path) -> None:
    old, new = opened(tmp_path, attempt=1), opened(tmp_path, attempt=2)
    old.note("a", INTENDED)
    old.flush()
    paid(new, "a")
    new.flush()
    old.note("a", WITHDRAWN)
    old.flush()  # under a later name
    known = opened(tmp_path, attempt=3).states["a"]
    assert known.receipt is not None
    assert (known.status, known.receipt.generation_id) == (SUBMITTED, "task_a")


def test_an_item_that_can_no_longer_be_stored_in_its_place_has_failed(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.note("a", COMPLETED, index=0)
    first.flush()
    second = opened(tmp_path, attempt=2)
    second.note("a", FAILED, error={"reason": "storage"})
    assert second.states["a"].status == FAILED


def completed(journal: Journal, key: str, **facts: Any) -> None:
    journal.note(key, COMPLETED, index=0, shown={"id": "x"}, images=[], **facts)


def test_who_holds_a_name_outlives_compacting(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    completed(journal, "a")
    completed(journal, "b")
    journal.note("b", FAILED, error={"reason": "storage", "message": "disk full"})
    for _ in range(2):
        journal.flush()
        journal.compact()
        journal = opened(tmp_path, attempt=2)
        assert journal.holder_of("id", "x") == journal.holder_of("index", "0") == "b"
        journal.note("c", FAILED)
    journal.note("a", SUBMITTED, names=[("id", "x")])
    journal.flush()
    assert opened(tmp_path, attempt=3).holder_of("id", "x") == "a"


def test_what_a_dead_attempt_completes_does_not_hide_that_it_is_made_anew(tmp_path: Path) -> None:
    dead, journal = opened(tmp_path), opened(tmp_path, attempt=3)
    completed(dead, "a")
    journal.note("a", INTENDED, series="2")
    journal.flush()
    dead._next = 9
    dead.flush()
    again = opened(tmp_path, attempt=4)
    assert (again.states["a"].status, again.states["a"].series) == (INTENDED, "2")
