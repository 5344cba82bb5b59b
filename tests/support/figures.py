"""Where tests put the figures that are shown after the run."""

from __future__ import annotations

import pytest

FIGURES = pytest.StashKey[list[str]]()
