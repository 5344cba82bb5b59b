"""Who follows the quickstart, or "Test your DAGs", word by word gets what the pages say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dev.airflow_env import inherited_environment
from tests.support.documentation import DOCS, Block, blocks

TESTING = DOCS / "testing.md"
QUICKSTART = DOCS / "quickstart.md"


def blocks_of(page: Path, language: str) -> list[Block]:
    return [block for block in blocks(language) if block.page == page]


def typed(page: Path, word: str) -> list[str]:
    """Return the command lines of a page that have a word in them."""
    lines = [line for block in blocks_of(page, "console") for line in block.text.splitlines()]
    found = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and word in line]
    assert found, word
    return found


class Shell:
    """Runs commands in a folder, with an Airflow home of its own below it."""

    def __init__(self, folder: Path, *exports: str) -> None:
        self._folder = folder
        self._exports = " && ".join(exports)
        # Without coverage, which would take half as much time again.
        kept = {name: v for name, v in inherited_environment().items() if not name.startswith("COVERAGE_")}
        self._environment = {**kept, "PWD": str(folder)}

    def run(self, command: str) -> str:
        """Run a command line and return what it prints."""
        done = subprocess.run(
            ["sh", "-c", f"{self._exports} && {command}"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def test_the_recipe_for_tests_works(tmp_path: Path) -> None:
    files = [block for block in blocks_of(TESTING, "python") if block.file]
    assert [block.file for block in files] == ["dags/cards.py", "tests/test_cards.py"]
    for block in files:
        path = tmp_path / str(block.file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    [settings] = blocks_of(TESTING, "toml")
    (tmp_path / "pyproject.toml").write_text(settings.text)
    shell = Shell(tmp_path, *typed(TESTING, "export"))
    for command in typed(TESTING, "airflow d"):
        shell.run(command)
    [command] = typed(TESTING, "pytest")
    [passed] = re.findall(r"(\d+) passed", shell.run(command))
    assert int(passed) == len(re.findall(r"^def test_", files[-1].text, re.MULTILINE))


def test_the_quickstart_works(tmp_path: Path, gptimg_emulator: Any) -> None:
    [dag] = blocks_of(QUICKSTART, "python")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "postcards.py").write_text(dag.text)
    home = "export AIRFLOW_HOME=$PWD/.airflow AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags"
    shell = Shell(tmp_path, home, "export AIRFLOW__CORE__LOAD_EXAMPLES=False", *typed(QUICKSTART, "export"))
    shell.run("airflow db migrate")
    [add] = typed(QUICKSTART, "127.0.0.1")
    shell.run(add.replace("http://127.0.0.1:8787", gptimg_emulator.base_url))
    [check] = typed(QUICKSTART, "connections test")
    assert "Connection success!" in shell.run(check)
    [run] = typed(QUICKSTART, "dags test")
    said = shell.run(run)
    assert "Traceback" not in said
    [submission] = gptimg_emulator.ledger()["submissions"]
    assert f"['{gptimg_emulator.base_url}/files/results/{submission['id']}/0.png']" in said
    assert submission["status"] == "completed"


@pytest.mark.parametrize("page", [TESTING, QUICKSTART], ids=lambda page: page.stem)
def test_a_command_that_a_page_lacks_is_found(page: Path) -> None:
    with pytest.raises(AssertionError):
        typed(page, "airflow nothing")
