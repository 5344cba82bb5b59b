"""The benchmarks, as far as they can be looked at without running them."""

from __future__ import annotations

import pytest

from benchmarks import triggers
from benchmarks.__main__ import names


def test_there_are_some() -> None:
    assert {"triggers", "rate_limit", "false_failures", "end_to_end"} <= set(names())


def test_a_neighbour_that_is_not_installed_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = {"cold": triggers.VARIANTS["cold"], "other": ("other", "no-such-distribution", 0)}
    monkeypatch.setattr(triggers, "VARIANTS", variants)
    assert triggers.installed(["cold", "other"]) == ["cold"]
    assert capsys.readouterr().out == "triggers: other is left out, no-such-distribution is not installed.\n"
