"""`python -m dev.release [--keep folder]`: one line per check; exits with 1 if one fails."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dev.release import checks
from dev.release.building import build

ANYWHERE = "https://forge.example/project"
"""A placeholder for the repository, for distributions that are only checked."""


def main() -> int:
    """Build twice, check, and keep the distributions if requested."""
    parser = argparse.ArgumentParser(prog="python -m dev.release")
    parser.add_argument("--keep", type=Path, help="where the distributions go if all is well")
    keep = parser.parse_args().keep
    repository = os.environ.get("REPOSITORY_URL", "")
    if keep and not repository.startswith("https://"):
        print(
            "REPOSITORY_URL=https://… is missing: the page on the index would have dead links",
            file=sys.stderr,
        )
        return 2
    repository = repository or ANYWHERE
    with tempfile.TemporaryDirectory() as folder:
        first, second = (build(Path(folder, *name), repository) for name in (("one",), ("another", "one")))
        sdist, wheel = first
        both = [str(path) for path in first]
        wanted: dict[str, Callable[[], str]] = {
            "built twice": lambda: checks.same(first, second),
            "version": lambda: checks.version(wheel),
            "wheel": lambda: checks.wheel_contents(wheel),
            "sdist": lambda: checks.sdist_contents(sdist),
            "metadata": lambda: checks.index_metadata(wheel),
            "index page": lambda: checks.index_page(wheel),
            "twine check --strict": lambda: checks.tool("twine", "check", "--strict", *both),
            "check-wheel-contents": lambda: checks.tool("check_wheel_contents", str(wheel)),
            "beside a bare Airflow": lambda: checks.additions(wheel),
        }
        failed = [name for name, check in wanted.items() if not _passes(name, check)]
        if keep and not failed:
            keep.mkdir(exist_ok=True)
            for path in first:
                shutil.copy2(path, keep)
    return 1 if failed else 0


def _passes(name: str, check: Callable[[], str]) -> bool:
    try:
        print(f"ok      {name}: {check()}", flush=True)
    except subprocess.CalledProcessError as error:
        print(f"FAILED  {name}: {error} {error.stderr}", flush=True)
        return False
    except checks.RefusedError as error:
        print(f"FAILED  {name}: {error}", flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
