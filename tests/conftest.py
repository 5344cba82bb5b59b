"""What every test runs under: an Airflow home of its own, and fixtures for tasks in ``dag.test()``."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import FIGURES

# Airflow reads its settings when it is first imported, so they are made before any test is.
# The DAGs folder is empty, because each ``dag.test()`` parses all of it.
_HOME = tempfile.mkdtemp(prefix="gptimg-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
Path(_HOME, "dags").mkdir()
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__CORE__DAGS_FOLDER=f"{_HOME}/dags",
)


@pytest.fixture
def record_figures(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return what takes a line for the end of pytest's output."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


OWN_AIRFLOW = ("tests/airflow/gallery/", "tests/airflow/test_celery.py", "tests/airflow/test_secrets.py")
"""Tests that start an Airflow of their own. The others with an Airflow share one."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process of pytest-xdist run all tests that share an Airflow, and one those with their own."""
    from xdist.scheduler import LoadScopeScheduling

    class OneAirflowEach(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(OWN_AIRFLOW):
                return "own Airflow"
            return "shared Airflow" if nodeid.startswith("tests/airflow/") else nodeid

    return OneAirflowEach(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of one of several test processes (pytest-xdist) to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a test process that has ended."""
    node.config.stash.setdefault(FIGURES, []).extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures that tests have measured."""
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)


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
    from airflow_provider_gptimg.triggers.base import HoldingTrigger

    monkeypatch.setattr(HoldingTrigger, "hold_back", 0.05)


@pytest.fixture
def emulator(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, database: None, quick: None) -> Any:
    """The emulator, which tasks reach by their default connection."""
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", gptimg_emulator.airflow_connection)
    return gptimg_emulator


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch an image again at once."""
    monkeypatch.setattr("airflow_provider_gptimg.files.storage.PAUSES", (0.0, 0.0))
