"""The emulator as the tests of batches use it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.batches import connect, hurry


@pytest.fixture
def emulator(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The emulator that the default connection leads to; nothing waits longer than it must."""
    hurry(monkeypatch)
    connect(monkeypatch, gptimg_emulator)
    return gptimg_emulator
