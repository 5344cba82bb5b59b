"""Fixtures for tests that run tasks in Airflow's ``dag.test()``, and figures shown after the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FIGURES = pytest.StashKey[list[str]]()


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


@pytest.fixture
def record_figures(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return what takes a line for the end of pytest's output."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures."""
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
