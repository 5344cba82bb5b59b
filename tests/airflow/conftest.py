"""Fixtures that run real processes: an emulator and an Airflow, one of each for all tests here."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from dev import postgres
from dev.emulator import EmulatorProcess
from dev.stack import PROVIDER, AirflowStack
from tests.support.crash_table import ROWS, table
from tests.support.figures import FIGURES
from tests.support.statsd_listener import StatsdListener

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this directory, so that ``-m "not integration"`` leaves it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Put the crash matrix, if it was played, among the figures that are shown."""
    if rows := session.config.stash.get(ROWS, []):
        figures = session.config.stash.setdefault(FIGURES, [])
        figures += ["crash matrix", *(f"  {line}" for line in table(rows))]


@pytest.fixture(scope="session")
def emulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """The emulator in a process of its own, quick and without rate limit."""
    log = tmp_path_factory.mktemp("emulator") / "emulator.log"
    options = ["--latency-median", "2", "--latency-sigma", "0.1", "--rate-limit", "off"]
    with EmulatorProcess(log, *options) as process:
        yield Remote(process.url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Two drivers of it cannot run in one process, nor one beside an event loop."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    sync_api.expect.set_options(timeout=30_000)  # as long as it waits for a page
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def emulator(emulator_process: Remote) -> Iterator[Remote]:
    """The emulator, new for each test: ``ledger()``, ``faults([...])``, ``advance(s)``, ``configure()``."""
    emulator_process.reset()
    yield emulator_process
    emulator_process.reset()


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's DAGs folder: the DAGs beside this file, the examples, and what tests write into it."""
    folder = tmp_path_factory.mktemp("dags")
    for source in (HERE / "dags", CHECKOUT / "example_dags"):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdListener]:
    """What the Airflow of the tests sends its metrics to."""
    with StatsdListener() as listener:
        yield listener


@pytest.fixture(scope="session")
def airflow_stack(
    tmp_path_factory: pytest.TempPathFactory,
    emulator_process: Remote,
    dags_folder: Path,
    statsd: StatsdListener,
) -> Iterator[AirflowStack]:
    """A real Airflow connected to the emulator, on PostgreSQL where that is installed, else on SQLite."""
    with ExitStack() as resources:
        database_url = None
        if postgres.available():
            database_url = resources.enter_context(postgres.PostgresServer()).url
        stack = AirflowStack(
            tmp_path_factory.mktemp("airflow"),
            dags_folder,
            database_url=database_url,
            connections={"gptimg_default": json.loads(emulator_process.airflow_connection)},
            preload=PROVIDER,
            extra_env={
                "PYTHONPATH": _with_path(dags_folder),  # for a trigger of the tests
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                **statsd.airflow_environment,
            },
        )
        yield resources.enter_context(stack)


def _with_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


@pytest.fixture
def write_dag(dags_folder: Path) -> Iterator[Callable[[str, str], None]]:
    """Return a function that puts a DAG file (name, source) into the DAGs folder for this test."""
    written = []

    def write(name: str, source: str) -> None:
        path = dags_folder / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        written.append(path)

    yield write
    for path in written:
        path.unlink()
