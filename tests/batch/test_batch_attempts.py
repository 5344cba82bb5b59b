"""What becomes of a batch when items fail, attempts die and tasks are cleared: paid once, made in the end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.interruption import Interrupted
from airflow_provider_gptimg.batch import journal, runner
from airflow_provider_gptimg.batch.progress import Progress
from airflow_provider_gptimg.emulator.server import EmulatorServer
from tests.support.batches import BatchTask, animals, check_paid_once, connect, hurry, submissions

PRICE = 0.015
"""Dollars for an image of 1K (contract: Prices)."""


def statuses(batch: BatchTask) -> list[str]:
    return [line["status"] for line in batch.manifest()]


# -- items that fail ------------------------------------------------------------------------------------


def test_continue_makes_the_others(emulator: Any, tmp_path: Path) -> None:
    items = animals(6, _1="[fail]", _3="[refuse]")
    result = BatchTask(tmp_path, {"items": items, "on_item_error": "continue"}).attempt()
    assert (result["completed"], result["failed"], result["images"]) == (4, 2, 4)
    failed, refused = result["failed_items"]
    assert (failed["index"], failed["reason"]) == (1, "failed")
    assert failed["generation_id"] in failed["message"]
    assert (refused["index"], refused["reason"], refused["generation_id"]) == (3, "content_policy", None)
    assert len(submissions(emulator)) == result["submissions"] == 5


def test_fail_stores_what_is_in_flight_and_submits_no_more(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, submit_rps=2)
    batch = BatchTask(tmp_path, {"items": animals(60, _20="[refuse]")})
    with pytest.raises(exceptions.GptImgContentPolicyError, match="1 of 60 items failed") as failed:
        batch.attempt()
    paid = len(submissions(emulator))
    assert 19 <= paid <= 20 + runner.SUBMITTING_SECONDS * 2 + 4
    assert Counter(statuses(batch)) == {"completed": paid, "failed": 1}
    assert len(batch.pictures()) == paid
    assert f"{60 - 1 - paid} were not submitted" in str(failed.value)


def test_as_many_may_fail_as_are_allowed(emulator: Any, tmp_path: Path) -> None:
    items = animals(4, _0="[fail]", _1="[fail]")
    arguments = {"items": items, "on_item_error": "continue"}
    assert BatchTask(tmp_path / "two", {**arguments, "max_failed_items": 2}).attempt()["failed"] == 2
    with pytest.raises(exceptions.GptImgBatchError, match="2 of 4 items failed"):
        BatchTask(tmp_path / "one", {**arguments, "max_failed_items": 1}, run_id="other").attempt()


@pytest.mark.parametrize("most", [{}, {"max_failed_items": 9}])
def test_a_batch_of_which_nothing_was_completed_fails(emulator: Any, tmp_path: Path, most: Any) -> None:
    arguments = {"items": animals(2, _0="[fail]", _1="[refuse]"), "on_item_error": "continue", **most}
    batch = BatchTask(tmp_path, arguments)
    with pytest.raises(exceptions.GptImgBatchError, match="2 of 2 items failed, 0 are stored") as failed:
        batch.attempt()
    assert not isinstance(failed.value, exceptions.GptImgFinalError)  # the failed one may come
    batch.arguments["items"] = animals(2, _0="[refuse]", _1="[refuse]")
    batch.clear()
    with pytest.raises(exceptions.GptImgContentPolicyError, match="a Clear goes on"):
        batch.attempt()
    batch.arguments["items"] = animals(2)
    batch.clear()
    assert batch.attempt()["completed"] == 2
    assert len(submissions(emulator)) == 1 + 2


def test_no_retry_follows_if_it_could_not_help(emulator: Any, tmp_path: Path) -> None:
    arguments = {"items": animals(4, _0="[fail]", _1="[refuse]"), "on_item_error": "continue"}
    batch = BatchTask(tmp_path, {**arguments, "max_failed_items": 1})
    with pytest.raises(exceptions.GptImgError) as failed:
        batch.attempt()
    assert not isinstance(failed.value, exceptions.GptImgFinalError)  # the failed one may come


def test_a_retry_submits_what_failed_at_the_service_and_not_what_was_refused(
    emulator: Any, tmp_path: Path
) -> None:
    items = animals(5, _1="[fail]", _2="[refuse]")
    batch = BatchTask(tmp_path, {"items": items, "on_item_error": "continue", "max_failed_items": 1})
    for tries in (1, 2):
        with pytest.raises(exceptions.GptImgBatchError):
            batch.attempt()
        requests = emulator.ledger()["requests"]["submit"]
        assert (len(submissions(emulator)), requests) == (3 + tries, 4 + tries)
    again = [row for row in submissions(emulator) if row["status"] == "failed"]
    first, second = (row["client_business_id"].split("-") for row in again)
    assert (first[1], first[2], second[2]) == (second[1], "1", "2")
    batch.clear()
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    assert emulator.ledger()["requests"]["submit"] == 6 + 2  # a Clear asks again for what was refused
    check_paid_once(emulator)


def test_an_empty_account_stops_everything_and_a_clear_goes_on(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, submit_rps=2)
    emulator.configure(balance=7.5 * PRICE)
    batch = BatchTask(tmp_path, {"items": animals(40), "on_item_error": "continue"})
    with pytest.raises(exceptions.GptImgQuotaError, match="7 are stored"):
        batch.attempt()
    assert len(submissions(emulator)) == len(batch.pictures()) == 7
    assert emulator.ledger()["requests"]["submit"] < 7 + 2 * 9  # fewer than the limit would let through
    connect(monkeypatch, emulator)
    emulator.configure(balance=10)
    batch.clear()
    assert batch.attempt()["completed"] == 40
    assert len(submissions(emulator)) == 40
    check_paid_once(emulator)


def test_what_lies_in_no_item_ends_the_attempt(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or all the others would be paid for and thrown away, in a task that succeeds."""
    connect(monkeypatch, emulator, submit_rps=2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made").touch()  # where a folder is needed
    arguments = {"items": animals(40), "on_item_error": "continue", "file_name": "made/{item}"}
    batch = BatchTask(tmp_path / "out", arguments)
    with pytest.raises(exceptions.GptImgBatchError, match="could not be stored"):
        batch.attempt()
    paid = len(submissions(emulator))
    assert paid < 2 * 9 + 9
    (tmp_path / "out" / "made").unlink()
    connect(monkeypatch, emulator)
    emulator.faults([{"on": "status", "kind": "reset_before"}])
    batch.arguments["poll_interval"] = 0.1
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    emulator.faults([])
    assert batch.attempt()["completed"] == len(submissions(emulator)) == 40


def test_a_killed_batch_is_left_at_once_and_paid_once(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, submit_rps=2)
    batch = BatchTask(tmp_path, {"items": animals(40)})
    operator = batch.operator()
    line = Progress.line

    def killed_here(progress: Progress) -> str:
        operator.on_kill()
        return line(progress)

    with monkeypatch.context() as patched:
        patched.setattr(batch, "operator", lambda: operator)
        patched.setattr(Progress, "line", killed_here)
        patched.setattr(runner, "EVERY", 1.0)
        with pytest.raises(Interrupted):
            batch.attempt()
    assert 0 < len(submissions(emulator)) < 30
    connect(monkeypatch, emulator)
    assert batch.attempt()["completed"] == 40
    assert len(submissions(emulator)) == len(batch.pictures()) == 40


# -- pictures and storage -------------------------------------------------------------------------------


def test_a_retry_only_fetches_again_what_came_broken(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_gptimg.files.storage.PAUSES", (0.0,))
    emulator.faults([{"on": "download", "kind": "truncate", "times": 12}])  # each is fetched twice
    batch = BatchTask(tmp_path, {"items": animals(8), "on_item_error": "continue", "max_failed_items": 0})
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    emulator.faults([])
    stored = len(batch.pictures())
    assert stored < 8
    assert batch.attempt()["completed"] == 8
    assert len(submissions(emulator)) == 8
    assert emulator.ledger()["requests"]["submit"] == 8
    assert len(batch.pictures()) == 8


def test_a_storage_that_fails_for_some_costs_nothing(emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "2").touch()  # where a folder is needed
    arguments = {"items": animals(4), "on_item_error": "continue", "max_failed_items": 0}
    batch = BatchTask(tmp_path, {**arguments, "file_name": "{item}/animal.{format}"})
    with pytest.raises(exceptions.GptImgBatchError, match="could not be stored"):
        batch.attempt()
    (tmp_path / "2").unlink()
    assert batch.attempt()["completed"] == 4
    assert len(submissions(emulator)) == emulator.ledger()["requests"]["submit"] == 4


def test_records_that_cannot_be_written_end_the_attempt(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = BatchTask(tmp_path, {"items": animals(6)})
    written = journal.write_lines

    def fail(path: Any, lines: Any) -> None:
        if path.name.startswith("00000002"):
            raise OSError("disk full")
        written(path, lines)

    monkeypatch.setattr(journal, "write_lines", fail)
    with pytest.raises((exceptions.GptImgStorageError, OSError)):
        batch.attempt()
    monkeypatch.setattr(journal, "write_lines", written)
    assert batch.attempt()["completed"] == 6
    assert len(submissions(emulator)) == 6


# -- retry and Clear ------------------------------------------------------------------------------------


def test_a_clear_of_a_finished_batch_keeps_it(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(3)})
    assert batch.attempt()["kept"] == 0
    assert batch.attempt()["kept"] == 0  # an attempt that died after its last line
    batch.clear()
    assert batch.attempt()["kept"] == 3
    batch.clear()
    assert batch.attempt()["kept"] == 3
    assert len(submissions(emulator)) == emulator.ledger()["requests"]["submit"] == 3


def test_a_clear_of_a_failed_batch_pays_for_what_is_missing(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(6, _2="[refuse]"), "on_item_error": "continue"})
    batch.arguments["max_failed_items"] = 0
    with pytest.raises(exceptions.GptImgContentPolicyError):
        batch.attempt()
    batch.arguments["items"] = ["New", *animals(6)]
    batch.clear()
    assert batch.attempt()["completed"] == 7
    assert [line["index"] for line in batch.manifest()] == list(range(7))
    assert [line["request"]["prompt"] for line in batch.manifest()] == ["New", *animals(6)]
    assert len(submissions(emulator)) == 7


def test_ids_tell_rows_apart_that_ask_for_the_same(emulator: Any, tmp_path: Path) -> None:
    fox = [{"id": f"fox {number}", "prompt": "A fox"} for number in range(3)]
    arguments = {"items": [*fox, {"id": "bad", "prompt": "[fail]"}], "on_item_error": "continue"}
    batch = BatchTask(tmp_path, {**arguments, "max_failed_items": 0})
    with pytest.raises(exceptions.GptImgBatchError, match="The first, item 'bad': "):
        batch.attempt()
    names = {path.name for path in batch.pictures()}
    batch.arguments["items"] = [{"id": "new", "prompt": "A fox"}, *reversed(fox)]
    batch.clear()
    assert batch.attempt()["completed"] == 4
    assert len(submissions(emulator)) == 3 + 1 + 1
    (added,) = {path.name for path in batch.pictures()} - names
    assert added.startswith("images-new-")
    for line in batch.manifest():
        (image,) = line["images"]
        stored = image["uri"].removeprefix(tmp_path.as_uri() + "/")
        assert stored.startswith(f"images-{line['id'].replace(' ', '_')}-")
        assert hashlib.sha256((tmp_path / stored).read_bytes()).hexdigest() == image["sha256"]


def test_items_that_moved_take_their_names_along(emulator: Any, tmp_path: Path) -> None:
    arguments = {"items": animals(3), "file_name": "{item}.{format}", "on_item_error": "continue"}
    batch = BatchTask(tmp_path, {**arguments, "max_failed_items": 0})
    batch.arguments["items"] = animals(3, _2="[fail]")
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    batch.arguments["items"] = ["New", *animals(2)]
    batch.clear()
    batch.attempt()
    assert emulator.ledger()["requests"]["submit"] == 4
    for line in batch.manifest():
        (image,) = line["images"]
        assert image["uri"] == (tmp_path / f"{line['index']}.png").as_uri()
        assert hashlib.sha256((tmp_path / f"{line['index']}.png").read_bytes()).hexdigest() == image["sha256"]


def test_a_record_that_was_deleted_is_replaced_by_look_ups(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(5, _4="[refuse]"), "on_item_error": "continue"})
    batch.arguments["max_failed_items"] = 0
    with pytest.raises(exceptions.GptImgContentPolicyError):
        batch.attempt()
    shutil.rmtree(tmp_path / ".gptimg")
    batch.arguments["items"] = animals(6)
    emulator.faults([{"on": "download", "kind": "status", "status": 500}])
    with pytest.raises(exceptions.GptImgBatchError):  # which has begun a new record that knows little
        batch.attempt()
    emulator.faults([])
    assert batch.attempt()["completed"] == 6
    check_paid_once(emulator)
    assert len(submissions(emulator)) == 6


def test_a_record_that_cannot_be_read_is_not_taken_for_none(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(2)})
    batch.attempt()
    (batch.journal().parent / "batch.json").write_text("{")
    with pytest.raises(exceptions.GptImgStorageError, match=r"batch\.json cannot be read"):
        batch.attempt()
    assert len(submissions(emulator)) == 2


def test_a_service_that_ignores_business_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    with EmulatorServer(ignore_business_id=True) as emulator:
        connect(monkeypatch, emulator)
        emulator.faults([{"on": "download", "kind": "status", "status": 500}])
        batch = BatchTask(tmp_path, {"items": animals(4)})
        with pytest.raises(exceptions.GptImgBatchError):
            batch.attempt()
        emulator.faults([])
        assert batch.attempt()["completed"] == 4  # found by what the journal knows
        assert len(submissions(emulator)) == 4


def test_an_answer_that_is_lost_is_looked_up(emulator: Any, tmp_path: Path) -> None:
    emulator.faults([{"on": "submit", "kind": "reset_after", "times": 4}])
    assert BatchTask(tmp_path, {"items": animals(8)}).attempt()["submissions"] == 8
    assert len(submissions(emulator)) == 8


def test_a_stop_does_not_make_what_was_intended_look_unpaid(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that is stopped before it may submit must not note that nobody did."""
    batch = BatchTask(tmp_path, {"items": animals(4)})
    batch.attempt()
    forget_all_but_intentions(batch)
    batch.try_number = 1
    batch.arguments["items"] = [*animals(4), "[refuse]"]
    emulator.configure(lookup_lag=3600)
    monkeypatch.setattr("airflow_provider_gptimg.payment.submission.LOOK_UP_PAUSES", (0.0, 0.5, 0.5))
    with pytest.raises(exceptions.GptImgContentPolicyError):
        batch.attempt()
    assert len(submissions(emulator)) == 4
    emulator.configure(lookup_lag=0)
    batch.arguments["items"] = animals(4)
    batch.clear()
    assert batch.attempt()["completed"] == 4
    assert len(submissions(emulator)) == 4


def forget_all_but_intentions(batch: BatchTask) -> None:
    """Leave what a crash between submitting and noting leaves."""
    for path in batch.journal().iterdir():
        keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
        lines = [json.dumps({"key": key, "status": "intended", "attempt": 1}) for key in keys]
        path.write_text("\n".join(lines))
    (batch.journal().parent / "batch.json").write_text('{"number": 0, "trusted": true}')
