"""Fixtures for tests that run tasks in Airflow's ``dag.test()``."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def database() -> None:
    """Make the database that ``dag.test()`` writes to."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let triggers fire at once: nothing races with them where no scheduler is."""
    from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

    monkeypatch.setattr(GptImgGenerationTrigger, "hold_back", 0.05)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch an image again at once."""
    monkeypatch.setattr("airflow_provider_gptimg.storage.PAUSES", (0.0, 0.0))
