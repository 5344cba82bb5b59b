"""What a batch may spend: a limit that holds, what is said before anything is paid, and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from tests.support.batches import BatchTask, animals, connect, submissions

PRICE = 0.015


@pytest.fixture(autouse=True)
def _quick(emulator: Any) -> None:
    emulator.configure(latency_median=0.05)


def test_a_batch_stops_at_its_limit_and_goes_on_with_a_higher_one(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(5), "max_cost_usd": 0.05})
    with pytest.raises(exceptions.GptImgCostLimitError) as error:
        batch.attempt()
    said = str(error.value)
    assert "max_cost_usd=0.05 is reached: 0.045 USD has been spent" in said
    assert "3 of 5 items are stored, 0 failed, 2 were not submitted" in said
    assert len(submissions(emulator)) == len(batch.pictures()) == 3
    batch.arguments["max_cost_usd"] = 1
    batch.clear()
    result = batch.attempt()
    assert (result["completed"], result["cost_usd"], result["cost_estimated"]) == (5, 0.075, False)
    assert len(submissions(emulator)) == 5


def test_what_is_refunded_may_be_spent_again(emulator: Any, tmp_path: Path) -> None:
    items = animals(4, _0="[fail]")
    batch = BatchTask(tmp_path, {"items": items, "on_item_error": "continue", "max_cost_usd": 3 * PRICE})
    result = batch.attempt()
    assert (result["completed"], result["failed"], result["cost_usd"]) == (3, 1, 3 * PRICE)
    assert len(submissions(emulator)) == 4


def test_what_was_made_anew_counts(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(2), "max_cost_usd": 3 * PRICE, "remake": [0, 1]})
    batch.attempt()
    batch.clear()
    with pytest.raises(exceptions.GptImgCostLimitError):
        batch.attempt()
    assert len(submissions(emulator)) == 3


def test_a_model_without_a_price_is_refused_at_the_start(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": animals(2), "model": "gpt-image-2-vip", "max_cost_usd": 1})
    with pytest.raises(exceptions.GptImgValidationError, match="in the connection's extra"):
        batch.attempt()
    assert submissions(emulator) == []


@pytest.mark.parametrize("limit", [0, -1, True, "5", float("nan")])
def test_a_limit_is_checked_when_the_dag_is_parsed(limit: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_cost_usd"):
        BatchTask(tmp_path, {"items": animals(1), "max_cost_usd": limit}).operator()


def test_the_money_is_told_before_anything_is_paid(
    emulator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BatchTask(tmp_path, {"items": animals(3)}).attempt()
    said = capsys.readouterr().out
    assert "To be made: 3 images, about 0.045 USD" in said
    assert "the account's balance is 10.00 USD" in said
    assert said.index("To be made") < said.index("3 done")


def test_too_little_money_fails_or_warns(
    emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = {"gpt-image-2": {"1K": 6.0}}
    connect(monkeypatch, emulator, rate_limit_group="svip", prices=dear)
    batch = BatchTask(tmp_path, {"items": animals(2), "on_low_balance": "fail"})
    with pytest.raises(exceptions.GptImgQuotaError, match="Nothing was submitted"):
        batch.attempt()
    assert submissions(emulator) == []
    batch.arguments["on_low_balance"] = "warn"
    batch.clear()
    assert batch.attempt()["completed"] == 2
    assert "only 10.00 USD can be spent" in capsys.readouterr().out


def test_what_each_item_cost_stands_in_the_manifest(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": [{"prompt": "A fox", "n": 2}, {"prompt": "A hare"}]})
    batch.attempt()
    assert [line["cost_usd"] for line in batch.manifest()] == [2 * PRICE, PRICE]
    assert not any(line["cost_estimated"] for line in batch.manifest())
