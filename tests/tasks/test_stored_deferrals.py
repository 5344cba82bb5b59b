"""What goes through a deferral is resumed by every newer version, as it lies in Airflow's database."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.tasks import deferral
from airflow_provider_gptimg.tasks.deferral import Deferral

ROWS = Path(__file__).with_name("stored_deferrals")
CASES = [
    pytest.param(row, id=f"{path.stem}-{number}")
    for path in sorted(ROWS.glob("*.json"))
    for number, row in enumerate(json.loads(path.read_text()))
]


def ti(try_number: int, ti_id: str = "ti") -> Any:
    return SimpleNamespace(id=ti_id, try_number=try_number)


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing that this process deferred."""
    monkeypatch.setattr(deferral, "_IN_PROCESS", {})


@pytest.mark.parametrize("row", CASES)
def test_it_is_taken_up(row: dict[str, Any]) -> None:
    kept = Deferral.read(row, ti(row["try_number"]))
    assert kept is not None
    again = json.loads(json.dumps(kept.as_kwargs(ti(row["try_number"]))))
    assert {name: again[name] for name in row} == row


def test_what_a_newer_version_added_is_ignored() -> None:
    row = {**CASES[0].values[0], "newer": 1}
    assert Deferral.read(row, ti(1)) == Deferral.read(CASES[0].values[0], ti(1))


def test_what_another_attempt_kept_is_not_taken_up() -> None:
    assert Deferral.read(CASES[0].values[0], ti(2)) is None


def test_without_it_the_task_starts_over() -> None:
    """Airflow drops it when a trigger died. Before 3.4 ``dag.test()`` does too, in the same process."""
    assert Deferral.read({}, ti(1)) is None
    kept = Deferral.read(CASES[0].values[0], ti(1))
    assert kept is not None
    kept.as_kwargs(ti(1))
    assert Deferral.read({}, ti(1)) == kept
    assert Deferral.read({}, ti(1, "another")) is None


def test_this_version_has_a_row_with_every_key() -> None:
    rows = json.loads((ROWS / f"{__version__}.json").read_text())
    fullest = max(rows, key=len)
    kept = Deferral.read(fullest, ti(fullest["try_number"]))
    assert kept is not None
    assert kept.as_kwargs(ti(1)).keys() == fullest.keys()
