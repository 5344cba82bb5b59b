"""Prints the measurements."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import quantiles


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, in columns: text to the left, numbers to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    numeric = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(head))]
    print(f"\n{title} ({os.cpu_count()} cores)\n")
    for row in [list(head), ["-" * width for width in widths], *cells]:
        columns = zip(row, widths, numeric, strict=True)
        print("  ".join(text.rjust(wide) if right else text.ljust(wide) for text, wide, right in columns))
    print(flush=True)


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def print_markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head as Markdown, to paste into the documentation."""
    print(f"\n{title}\n")
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print(f"| {' | '.join(_text(value) for value in row)} |")
    print(flush=True)


def middle_and_tail(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile; NaN if there are fewer than two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    twentieths = quantiles(values, n=20)
    return twentieths[9], twentieths[18]


def machine() -> str:
    """Return a description of this machine, and the day."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    today = datetime.now(timezone.utc).date().isoformat()
    return f"{os.cpu_count()} cores of {cpu}, Python {platform.python_version()}, {today}"
