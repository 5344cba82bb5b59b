"""The crash matrix as a table: what was killed when, and what came of it."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import pytest


@dataclass(frozen=True)
class Row:
    """One story: all of it except ``killed`` and ``when`` is as seen from outside."""

    killed: str
    when: str
    tries: int
    submissions: int
    billed: float
    seconds: float


HEADS = ("killed", "when", "tries", "submissions", "billed", "seconds")
ROWS = pytest.StashKey[list[Row]]()


def table(rows: list[Row]) -> list[str]:
    """Return the lines of the table."""
    cells = [HEADS, *((*astuple(row)[:4], f"{row.billed:g}", f"{row.seconds:.0f}") for row in rows)]
    text = [[str(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in text
    ]
