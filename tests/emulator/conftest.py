"""The emulator as its own tests call it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from tests.support.emulator_client import Service


@pytest.fixture
def service(gptimg_emulator: Remote) -> Service:
    return Service(gptimg_emulator)


@pytest.fixture
def as_key(gptimg_emulator: Remote) -> Callable[[str | None], Service]:
    return lambda key: Service(gptimg_emulator, key)


@pytest.fixture
def slow(gptimg_emulator: Remote) -> Remote:
    """The emulator with tasks that take 1000 s, so that a test decides with the clock how far they are."""
    gptimg_emulator.configure(latency_median=1000.0, latency_sigma=0.0)
    return gptimg_emulator
