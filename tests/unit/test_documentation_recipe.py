"""Who follows "Test your DAGs" word by word has tests that pass."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from documentation import DOCS, blocks

PAGE = DOCS / "testing.md"


def typed(word: str) -> list[str]:
    """Return the command lines of the page's first console block that has a word in it."""
    [block, *_] = [block for block in blocks("console") if block.page == PAGE and word in block.text]
    return [line.removeprefix("$ ") for line in block.text.splitlines()]


def test_the_recipe_works(tmp_path: Path) -> None:
    files = [block for block in blocks("python") if block.page == PAGE and block.file]
    assert [block.file for block in files] == ["dags/cards.py", "tests/conftest.py", "tests/test_cards.py"]
    for block in files:
        path = tmp_path / str(block.file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    [settings] = [block for block in blocks("toml") if block.page == PAGE]
    (tmp_path / "pyproject.toml").write_text(settings.text)
    [exported] = typed("export")
    bin_folder = str(Path(sys.executable).parent)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"PATH": f"{bin_folder}:{environment['PATH']}", "PWD": str(tmp_path)}
    for command in typed("reserialize"):
        done = subprocess.run(
            ["sh", "-c", f"{exported} && {command}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert shlex.split(command)[0] == "pytest"
    [passed] = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) == len(re.findall(r"^def test_", files[-1].text, re.MULTILINE))
