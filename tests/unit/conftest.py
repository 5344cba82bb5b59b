"""Fixtures for tests that run tasks in Airflow's ``dag.test()``."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def database() -> None:
    """Make the database that ``dag.test()`` writes to; skips where there is no ``dag.test()``."""
    from airflow.sdk import DAG
    from airflow.utils.db import initdb

    if not hasattr(DAG, "test"):
        pytest.skip("Airflow 3.0.0 and 3.0.1 have no dag.test()")

    initdb()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let triggers fire at once: nothing races with them where no scheduler is."""
    from airflow_provider_gptimg.triggers.holding import HoldingTrigger

    monkeypatch.setattr(HoldingTrigger, "hold_back", 0.05)


@pytest.fixture
def emulator(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, database: None, quick: None) -> Any:
    """The emulator, which tasks reach by their default connection."""
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", gptimg_emulator.airflow_connection)
    return gptimg_emulator


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch an image again at once."""
    monkeypatch.setattr("airflow_provider_gptimg.storage.PAUSES", (0.0, 0.0))
