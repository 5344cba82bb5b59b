"""Rows of triggers that released versions left in Airflow's database: the code of today takes them up.

A release adds a file to ``rows/``; none is ever changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.models.trigger import Trigger
from airflow.triggers.base import BaseTrigger

try:
    from airflow.sdk._shared.module_loading import import_string
except ImportError:  # Airflow 3.0 and 3.1
    from airflow.utils.module_loading import import_string

from airflow_provider_gptimg import __version__

ROWS = Path(__file__).with_name("stored_triggers")
CASES = [
    pytest.param(row, id=f"{path.stem}-{number}-{row['classpath'].rpartition('.')[2]}")
    for path in sorted(ROWS.glob("*.json"))
    for number, row in enumerate(json.loads(path.read_text()))
]


def rebuilt(row: Trigger) -> BaseTrigger:
    """Return the trigger of a row, as the triggerer makes it."""
    return import_string(row.classpath)(**Trigger._decrypt_kwargs(row.encrypted_kwargs))


@pytest.mark.parametrize("written", CASES)
def test_row_is_taken_up(written: dict) -> None:
    row = Trigger(classpath=written["classpath"], kwargs=written["kwargs"])
    trigger = rebuilt(row)
    classpath, kwargs = trigger.serialize()
    assert classpath == written["classpath"]
    assert {name: kwargs[name] for name in written["kwargs"]} == written["kwargs"]
    assert rebuilt(Trigger.from_object(trigger)).serialize() == (classpath, kwargs)


def test_an_argument_that_went_away_is_noticed() -> None:
    written = CASES[0].values[0]
    with pytest.raises(TypeError, match="gone"):
        rebuilt(Trigger(classpath=written["classpath"], kwargs={**written["kwargs"], "gone": 1}))


def test_this_version_has_its_rows_with_every_argument() -> None:
    rows = json.loads((ROWS / f"{__version__}.json").read_text())
    assert len({row["classpath"] for row in rows}) == 2
    for classpath in {row["classpath"] for row in rows}:
        fullest = max((row["kwargs"] for row in rows if row["classpath"] == classpath), key=len)
        assert import_string(classpath)(**fullest).serialize()[1].keys() == fullest.keys()
