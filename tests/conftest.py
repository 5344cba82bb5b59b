"""Settings every test runs under: an Airflow home of its own, made anew for each run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Airflow reads its settings when it is first imported, so they are made before any test is.
_HOME = tempfile.mkdtemp(prefix="gptimg-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parent / "unit" / "dags"),
)


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
