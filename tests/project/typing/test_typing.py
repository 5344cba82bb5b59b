"""What type checkers say of DAG code: good code passes, and each mistake is found where it is."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 300
"""pyright fetches itself at its first use."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    checkout = HERE.parents[2]
    return subprocess.run(command, capture_output=True, check=False, text=True, cwd=checkout, timeout=SECONDS)


def mypy(path: Path) -> dict[int, str]:
    """Return mypy's errors, strict as the package's own settings are, by line."""
    pytest.importorskip("mypy")
    done = run("mypy", "--no-pretty", "--show-error-codes", str(path))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(rf"{path.name}:(\d+): error: (.*)", done.stdout)
    return {int(line): message for line, message in found}


def pyright(path: Path) -> dict[int, str]:
    """Return pyright's errors by line; skips where it cannot be had."""
    pytest.importorskip("pyright")
    try:
        done = run("pyright", "--pythonpath", sys.executable, "--outputjson", str(path))
        said = json.loads(done.stdout)["generalDiagnostics"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        if "CI" in os.environ:  # where it must not be left out in silence
            raise
        pytest.skip(f"pyright cannot be fetched or started here: {error}")
    errors = [entry for entry in said if entry["severity"] == "error"]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in errors}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_good_code_passes(checker):
    assert checker(HERE / "accepted.py") == {}


def test_airflow_accepts_good_code_too():
    tasks = runpy.run_path(str(HERE / "accepted.py"))["dag"].task_dict
    assert tasks["from_images"].upstream_task_ids == {"bare", "empty_brackets"}
    assert tasks["bare__3"].is_mapped


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_mistakes_are_found(checker):
    path = HERE / "refused.py"
    lines = path.read_text().splitlines()
    mistakes = {number for number, line in enumerate(lines, 1) if line.endswith("# mistake")}
    assert len(mistakes) > 15
    found = checker(path)
    assert set(found) == mistakes, found
