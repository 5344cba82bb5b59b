"""The forge's workflows: pinned actions, few rights, and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def test_there_are_some() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "docs", "matrix", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_and_named(path: Path) -> None:
    uses = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert re.fullmatch(r"- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_rights_are_few_and_commands_exist(path: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        rights = job.get("permissions", {}).items()
        allowed = {"id-token", "pages"} if path.stem == "docs" else {"id-token"}
        assert {name for name, right in rights if right == "write"} <= allowed
        for command in (step["run"] for step in job["steps"] if "run" in step):
            program, _, argument = command.partition(" ")
            assert program in ("make", ".ci/run", "git"), command
            assert program != "make" or argument in TARGETS, command
            assert not program.startswith(".") or (CHECKOUT / program).is_file()
