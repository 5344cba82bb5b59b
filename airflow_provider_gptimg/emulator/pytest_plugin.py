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
    """Yield a fresh emulator: empty ledger, full balance, no faults, quick, without rate limit."""
    gptimg_emulator_server.reset()
    yield gptimg_emulator_server
    gptimg_emulator_server.reset()  # so that a hanging fault of one test is not met by the next
