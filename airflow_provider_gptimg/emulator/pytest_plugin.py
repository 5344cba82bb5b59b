"""The ``gptimg_emulator`` fixture; loaded into every pytest run, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_gptimg.emulator.server import EmulatorServer


@pytest.fixture(scope="session")
def gptimg_emulator_server() -> Iterator[EmulatorServer]:
    """One emulator for the whole run, on a free port, in a thread of this process."""
    try:
        from airflow_provider_gptimg.emulator.server import EmulatorServer
    except ModuleNotFoundError as error:
        pytest.fail(
            f"{error.name} is not installed; run: pip install 'airflow-provider-gptimg[emulator]'",
            pytrace=False,
        )

    with EmulatorServer() as server:
        yield server


@pytest.fixture
def gptimg_emulator(gptimg_emulator_server: EmulatorServer) -> Iterator[EmulatorServer]:
    """Yield a fresh emulator: empty ledger, full balance, no faults, quick, without rate limit.

    During the test Airflow's connection ``gptimg_default`` points to it: ``AIRFLOW_CONN_GPTIMG_DEFAULT`` is
    set, and restored afterwards. For other connections, use its ``airflow_connection``.
    """
    gptimg_emulator_server.reset()
    # A separate monkeypatch, so that a test that undoes its own changes keeps the connection.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", gptimg_emulator_server.airflow_connection)
        yield gptimg_emulator_server
    gptimg_emulator_server.reset()  # so that a hanging fault of one test does not hit the next
