"""Run all benchmarks, or the named ones: ``python -m benchmarks [NAME ...] [OPTION ...]``.

Options go to the named benchmark: ``make bench ARGS="false_failures --tasks 60"``.
The exit code is 0 only if all figures are as promised.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile
from pathlib import Path


def names() -> list[str]:
    """Return every benchmark: the modules beside this one that have a ``main``."""
    return sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if "\ndef main(" in path.read_text() and path.stem != "__main__"
    )


def main(arguments: list[str]) -> int:
    """Run the requested benchmarks and return the exit code."""
    chosen = list(takewhile(lambda word: not word.startswith("-"), arguments))
    options = arguments[len(chosen) :]
    unknown = [name for name in chosen if name not in names()]
    if unknown or (options and len(chosen) != 1):
        print(__doc__, f"There are: {', '.join(names())}.", sep="\n", file=sys.stderr)
        return 0 if options in (["-h"], ["--help"]) else 2
    kept = [bool(importlib.import_module(f"benchmarks.{name}").main(options)) for name in chosen or names()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
