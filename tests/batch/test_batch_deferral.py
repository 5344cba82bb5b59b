"""A batch gives its worker back while there is only waiting, and goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from tests.support.batches import BatchTask, animals, connect, submissions


def test_the_worker_is_given_back_while_there_is_only_waiting(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.configure(latency_median=3.0)
    batch = BatchTask(tmp_path, {"items": animals(6), "poll_interval": 5.0})
    result = batch.attempt()
    assert batch.states == ["deferred", "success"]
    assert (result["completed"], len(submissions(emulator))) == (6, 6)
    (deferral,) = batch.deferrals
    _, arguments = deferral.trigger.serialize()
    assert set(arguments["generation_ids"]) == {row["id"] for row in submissions(emulator)}
    assert (arguments["enough"], arguments["kind"]) == (6, "gpt-image-2/1K/1")
    assert "Animal" not in json.dumps(arguments)
    assert deferral.timeout.total_seconds() > arguments["deadline"] - 1e10


def test_a_batch_in_more_parts_than_may_be_in_flight(emulator: Any, tmp_path: Path) -> None:
    emulator.configure(latency_median=1.5)
    batch = BatchTask(tmp_path, {"items": animals(9, _4="[fail]"), "max_in_flight": 3})
    batch.arguments |= {"on_item_error": "continue"}
    result = batch.attempt()
    assert batch.states.count("deferred") >= 2
    assert (result["completed"], result["failed"], result["total"]) == (8, 1, 9)
    assert len(submissions(emulator)) == 9
    assert emulator.ledger()["requests"]["submit"] == 9


def test_a_stopped_batch_stays_stopped_over_a_deferral(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.configure(latency_median=1.5)
    connect(monkeypatch, emulator, submit_rps=2)
    batch = BatchTask(tmp_path, {"items": animals(60, _15="[refuse]")})
    with pytest.raises(exceptions.GptImgContentPolicyError):
        batch.attempt()
    assert "deferred" in batch.states
    paid = len(submissions(emulator))
    assert paid < 30
    assert len(batch.pictures()) == paid


def test_on_the_worker_if_it_is_not_to_be_deferred(emulator: Any, tmp_path: Path) -> None:
    emulator.configure(latency_median=2.0)
    batch = BatchTask(tmp_path, {"items": animals(2), "deferrable": False})
    batch.attempt()
    assert batch.states == ["success"]


def test_a_generation_that_takes_too_long_is_looked_at_again(emulator: Any, tmp_path: Path) -> None:
    emulator.configure(latency_median=3.0)
    batch = BatchTask(tmp_path, {"items": animals(2), "timeout": 1.0})
    with pytest.raises(exceptions.GptImgBatchError, match="time limit"):
        batch.attempt()
    emulator.advance(10)
    assert batch.attempt()["completed"] == 2
    assert len(submissions(emulator)) == 2
