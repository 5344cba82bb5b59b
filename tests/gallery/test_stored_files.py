"""What the gallery reads from storage: pictures, thumbnails of them, manifests and journals."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from PIL import Image

from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, INTENDED, SUBMITTED, Journal
from airflow_provider_gptimg.batch.json_lines import MAX_LINE
from airflow_provider_gptimg.gallery import task_cards as shelves
from airflow_provider_gptimg.gallery.cards import Card, State
from airflow_provider_gptimg.gallery.stored_files import (
    READS_AT_ONCE,
    Gone,
    manifest_lines,
    read_picture,
)
from airflow_provider_gptimg.gallery.thumbnails import Thumbnails
from tests.support.galleries import NOW, journal_folder, manifest, png, stored, task


def test_a_picture_is_sent_if_it_is_what_was_stored(tmp_path: Path) -> None:
    content = png(20, 10)
    assert read_picture(stored(tmp_path / "a.png", content)) == content


@pytest.mark.parametrize(
    "changes", [{"sha256": "0" * 64}, {"sha256": None}, {"uri": "file:///nonexistent"}, {"bytes": 10**9}]
)
def test_anything_else_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Gone):
        read_picture(stored(tmp_path / "a.png", png(20, 10), **changes))


def test_a_file_that_is_no_picture_is_not_sent_though_its_hash_is_right(tmp_path: Path) -> None:
    with pytest.raises(Gone):
        read_picture(stored(tmp_path / "a.png", b"[database]\npassword = x"))


def test_a_storage_that_hangs_takes_only_some_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_gptimg.gallery.stored_files.PATIENCE", 0.2)
    stalled = stored(tmp_path / "a.png", png(20, 10))
    (tmp_path / "a.png").unlink()
    os.mkfifo(tmp_path / "a.png")  # whoever opens it waits for somebody who writes
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        reads = [pool.submit(read_picture, stalled) for _ in range(READS_AT_ONCE)]
        time.sleep(0.5)
        with pytest.raises(Gone, match="busy"):
            read_picture(stored(tmp_path / "b.png", png(20, 10)))
        (tmp_path / "a.png").write_bytes(b"")
        assert all(isinstance(read.exception(timeout=20), Gone) for read in reads)
    assert read_picture(stored(tmp_path / "b.png", png(20, 10)))


def test_pictures_that_are_slow_to_come_hold_up_no_other_thumbnail() -> None:
    thumbnails, come = Thumbnails(patience=2), threading.Event()

    def slow() -> bytes:
        assert come.wait(20)
        return png(60, 40)

    with ThreadPoolExecutor(4) as pool:
        slow_ones = [pool.submit(thumbnails.get, key, slow) for key in ("a", "b", "c")]
        time.sleep(0.1)
        assert pool.submit(thumbnails.get, "d", lambda: png(600, 400)).result(timeout=10)
        with pytest.raises(Gone, match="read for another request"):
            thumbnails.get("a", slow)
        come.set()
        assert all(made.result(timeout=20) for made in slow_ones)


def test_a_thumbnail_that_many_ask_for_is_made_once() -> None:
    thumbnails, come, reads = Thumbnails(), threading.Event(), list[str]()

    def read() -> bytes:
        reads.append("a")
        assert come.wait(20)
        return png(600, 400)

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(thumbnails.get, "a", read) for _ in range(5)]
        time.sleep(0.1)
        come.set()
        assert len({small.result(timeout=20) for small in asked}) == 1
    assert reads == ["a"]


def test_a_thumbnail_that_was_not_to_be_had_is_asked_for_again() -> None:
    thumbnails = Thumbnails()

    def gone() -> bytes:
        raise Gone("not now")

    with pytest.raises(Gone, match="not now"):
        thumbnails.get("a", gone)
    assert thumbnails.get("a", lambda: png(600, 400))


def test_thumbnails_are_small_made_once_and_bounded(tmp_path: Path) -> None:
    reads: list[Card] = []

    def get(thumbnails: Thumbnails, card: Card) -> bytes:
        return thumbnails.get(str(card.sha256), lambda: (reads.append(card), read_picture(card))[1])

    cards = [stored(tmp_path / f"{side}.png", png(side, 600)) for side in (900, 901, 902)]
    sizes = [len(get(Thumbnails(), card)) for card in cards]
    reads.clear()
    thumbnails = Thumbnails(most_bytes=sizes[0] + max(sizes[1:]))
    for card in (cards[0], cards[0], cards[1], cards[0]):
        small = get(thumbnails, card)
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.size == (480, 320)
    assert reads == cards[:2]
    get(thumbnails, cards[2])  # the least used one makes room
    get(thumbnails, cards[0])
    assert reads == cards
    get(thumbnails, cards[1])
    assert reads == [*cards, cards[1]]


def test_pages_of_a_manifest(tmp_path: Path) -> None:
    lines = [{"request": {"prompt": str(n)}, "images": [{"uri": f"s3://b/{n}"}]} for n in range(100)]
    batch = task(result=manifest(tmp_path, lines))
    assert shelves.item_count(batch) == 100
    assert [card.item for card in shelves.cards(batch, NOW, start=96)] == [96, 97, 98, 99]
    assert shelves.card_at(batch, 50, 0, NOW).uri == "s3://b/50"
    with pytest.raises(Gone):
        shelves.card_at(batch, 50, 1, NOW)


@pytest.mark.parametrize("length", [MAX_LINE + 1, 3 * MAX_LINE, 3 * MAX_LINE + 7])
def test_a_line_that_is_too_long_hides_no_other(tmp_path: Path, length: int) -> None:
    short = {"request": {"prompt": "short"}, "images": [{"uri": "s3://b/1"}]}
    long = {"request": {"prompt": "x" * length}, "images": [{"uri": "s3://b/2"}]}
    batch = task(result=manifest(tmp_path, [short, long, short, long]))
    before, failed, after, last = shelves.cards(batch, NOW)
    assert (before.prompt, after.prompt, after.item) == ("short", "short", 2)
    assert failed.state is last.state is State.FAILED
    assert failed.message == "Its line in the manifest is too long."


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    line = {"request": {"prompt": "a"}, "images": [{"uri": "s3://b/1"}]}
    line["request"]["prompt"] += "x" * (MAX_LINE - len(json.dumps(line)))
    result = manifest(tmp_path, [line, line])
    path = Path(result["manifest"].removeprefix("file://"))
    path.write_text(path.read_text().rstrip("\n"))
    assert [len(card.prompt or "") > 199_000 for card in shelves.cards(task(result=result), NOW)] == [
        True
    ] * 2


def test_a_file_that_is_no_manifest_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0\n")
    with pytest.raises(Gone, match="cannot be read") as refused:
        manifest_lines((tmp_path / "passwd").as_uri(), 0, 10)
    assert "root:x" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/m.jsonl", "https://internal/m.jsonl", "file:///dev/zero"]
)
def test_a_manifest_elsewhere_is_not_fetched(uri: str) -> None:
    with pytest.raises(Gone, match="cannot be read from storage") as refused:
        manifest_lines(uri, 0, 10)
    assert isinstance(refused.value.__cause__, ValueError)  # of Airflow or the parser: nothing was called


@pytest.fixture
def running(tmp_path: Path) -> Journal:
    """The journal of a batch that is under way: one stored, one submitted, one failed, of more."""
    journal = Journal(ObjectStoragePath(journal_folder(tmp_path).as_uri()), attempt=1)
    for index, digest in enumerate(("a", "b", "c")):
        shown = {"index": index, "prompt": f"no. {index}", "size": "2:3"}
        journal.note(
            digest, SUBMITTED, shown=shown, generation_id=f"gen_{index}", submitted_at=NOW.timestamp()
        )
    journal.flush()
    journal.note("d", INTENDED)
    return journal


def test_a_batch_that_is_under_way_shows_what_it_has_done(running: Journal, tmp_path: Path) -> None:
    batch = task(state="running", batch={"journal": journal_folder(tmp_path).as_uri(), "total": 5})
    assert [card.state for card in shelves.cards(batch, NOW)] == [State.COMING] * 3
    assert shelves.progress(batch) == "0 done, 3 under way, 0 failed, of 5"

    image = {"index": 0, "uri": "s3://b/1.png", "sha256": "0" * 64}
    running.note("b", COMPLETED, shown={"index": 1, "prompt": "no. 1"}, images=[image])
    running.note("c", FAILED, shown={"index": 2, "prompt": "no. 2"}, error={"message": "not drawn"})
    running.flush()
    coming, ready, failed = shelves.cards(batch, NOW)
    assert (coming.state, coming.since, coming.generation_id) == (State.COMING, NOW, "gen_0")
    assert (ready.state, ready.prompt, ready.item) == (State.READY, "no. 1", 1)
    assert (failed.state, failed.message) == (State.FAILED, "not drawn")
    assert shelves.card_at(batch, 1, 0, NOW) == ready
    assert shelves.cards(batch, NOW, start=1, count=1) == [ready]
    assert shelves.item_count(batch) == 3
    assert shelves.progress(batch) == "1 done, 1 under way, 1 failed, of 5"

    running.compact()  # other segments, the same facts
    assert shelves.cards(batch, NOW) == [coming, ready, failed]
    assert shelves.cards(replace(batch, state="failed"), NOW)[0].state is State.FAILED


def test_of_an_attempt_that_was_thought_dead_only_what_it_completed_counts(
    running: Journal, tmp_path: Path
) -> None:
    folder = ObjectStoragePath(journal_folder(tmp_path).as_uri())
    now = Journal(folder, attempt=2)
    now.open()
    for index, digest in enumerate(("a", "b")):
        now.note(digest, SUBMITTED, shown={"index": index, "prompt": "again"}, generation_id=f"new_{index}")
    now.flush()
    dead = Journal(folder, attempt=1)
    dead.open()
    image = {"index": 0, "uri": "s3://b/1.png", "sha256": "0" * 64}
    dead.note("a", FAILED, shown={"index": 0, "prompt": "late"}, error={"reason": "x", "message": "late"})
    dead.note("b", COMPLETED, shown={"index": 1, "prompt": "late"}, images=[image])
    dead.flush()
    batch = task(state="running", batch={"journal": journal_folder(tmp_path).as_uri(), "total": 3})
    first, second, third = shelves.cards(batch, NOW)
    assert (first.state, first.prompt, first.generation_id) == (State.COMING, "again", "new_0")
    assert (second.state, second.prompt) == (State.READY, "late")
    assert third.generation_id == "gen_2"
    after = Journal(folder, attempt=3)
    after.open()  # the batch itself knows the same
    assert [after.states[digest].status for digest in "abc"] == [SUBMITTED, COMPLETED, SUBMITTED]


def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path)
    nowhere = f"nowhere://x{folder}"
    with pytest.raises(Gone, match="journal cannot be read"):
        shelves.cards(task(state="running", batch={"journal": nowhere, "total": 5}), NOW)
    assert shelves.cards(task(state="running", batch={"journal": str(folder)}), NOW) == []
