"""The environments, and how each is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""The supported versions: the classifiers of pyproject.toml."""

NEXT_PYTHON = "3.14"
"""Already supported by Airflow. It is tried where it is installed, and promised after a successful run."""


@dataclass(frozen=True)
class Cell:
    """An Airflow and a Python.

    :param airflow: version of Airflow. A series such as ``3.4`` means its newest version, a beta until there
        is a release.
    :param python: version of Python, major and minor.
    :param as_of: nothing released after the beginning of this day (UTC) is installed, except for the tests'
        tools. With later dependencies an Airflow may not even start.
    :param lowest: take the lowest versions of the dependencies that the wheel allows.
    :param optional: skip it if there is no such Python.
    """

    airflow: str
    python: str
    as_of: str
    lowest: bool = False
    optional: bool = False

    @property
    def requirements(self) -> list[str]:
        """The requirements to try on the index, in order, until it has one."""
        if self.airflow.count(".") == 2:
            return [f"apache-airflow=={self.airflow}"]
        return [f"apache-airflow~={self.airflow}.0", f"apache-airflow~={self.airflow}.0a0"]

    def is_row(self, airflow: str, python: str) -> bool:
        """Return whether a row of the table belongs to this cell, by its first two columns."""
        version, _, lowest = airflow.partition(",")
        return f"{version}.".startswith(f"{self.airflow}.") and (python, bool(lowest)) == (
            self.python,
            self.lowest,
        )

    @property
    def name(self) -> str:
        """A name for folders and the command line."""
        return f"airflow-{self.airflow}-python-{self.python}{'-lowest' if self.lowest else ''}"

    def is_meant_by(self, word: str) -> bool:
        """Return whether a word of the command line selects it: a version of Airflow, or its beginning."""
        parts = {self.name, f"python-{self.python}", *(["lowest"] if self.lowest else [])}
        return word in parts or f"{self.airflow}.".startswith(f"{word}.")


AS_OF = {
    "3.0.0": "2025-05-01",
    "3.0.6": "2025-09-20",
    "3.1.8": "2026-03-12",
    "3.2.2": "2026-06-05",
    "3.3.2": "2026-10-15",
}
"""Some days after the release of each Airflow, when its dependencies were released too."""

NEWEST, NEWEST_AS_OF = "3.4", str(datetime.now(timezone.utc).date())
"""The newest series, as of today."""

TOOLS_AS_OF = "2026-10-15"
"""The tests' own tools are not tested, so they may be newer."""

TOOLS_NEED = ("python-dateutil<3",)
"""A requirement of the tests' own tools (boto, of the S3 server); Airflow accepts newer versions too."""

WITHOUT = {("3.0.6", "3.14"), ("3.1.8", "3.14"), ("3.4", "3.10")}
"""Pythons that an Airflow does not support."""

CELLS = (
    Cell("3.0.0", "3.10", AS_OF["3.0.0"], lowest=True),
    Cell("3.0.6", "3.10", AS_OF["3.0.6"]),
    Cell("3.1.8", "3.11", AS_OF["3.1.8"]),
    Cell("3.2.2", "3.12", AS_OF["3.2.2"]),
    Cell("3.3.2", "3.13", AS_OF["3.3.2"]),
    Cell(NEWEST, "3.13", NEWEST_AS_OF),
    Cell(NEWEST, NEXT_PYTHON, NEWEST_AS_OF, optional=True),
)
"""The default cells: each Airflow and each Python once, and the floors."""

EVERY_CELL = (
    *CELLS[:1],
    *(
        Cell(airflow, python, day, optional=python == NEXT_PYTHON)
        for airflow, day in [*[*AS_OF.items()][1:], (NEWEST, NEWEST_AS_OF)]
        for python in (*PYTHONS, NEXT_PYTHON)
        if (airflow, python) not in WITHOUT
    ),
)


def find_python(version: str) -> str | None:
    """Return an interpreter of a version, from PATH or pyenv, or None if there is none."""
    candidates = [shutil.which(f"python{version}")]
    if pyenv := shutil.which("pyenv"):
        kept = _said(pyenv, "versions", "--bare")
        names = [name for name in kept.split() if name.startswith(f"{version}.")]
        candidates += [str(Path(_said(pyenv, "prefix", name)) / "bin" / "python") for name in names]
    for candidate in filter(None, candidates):
        if _said(candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])") == version:
            return candidate
    return None


def _said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout.strip() if ran.returncode == 0 else ""


class Environment:
    """The virtual environment of a cell.

    :param folder: its path.
    :param uv: the path of the uv program.
    """

    def __init__(self, cell: Cell, folder: Path, uv: str) -> None:
        self.cell = cell
        self.python = folder / "bin" / "python"
        self._folder, self._uv = folder, uv

    def build(self, interpreter: str) -> None:
        """Make it again, with Airflow in it. Earlier downloads come from uv's cache."""
        self._run("venv", "--quiet", "--clear", "--python", interpreter, str(self._folder))
        *released, last = self.cell.requirements
        for requirement in released:
            with suppress(RuntimeError):
                return self.install(requirement, *TOOLS_NEED)
        self.install(last, *TOOLS_NEED)

    def install(self, *what: str, as_of: str | None = None) -> None:
        """Install as of a day: the cell's, or a later one.

        :raises RuntimeError: with uv's message.
        """
        self._run(
            "pip",
            "install",
            "--quiet",
            "--python",
            str(self.python),
            "--exclude-newer",
            f"{max(as_of or '', self.cell.as_of)}T00:00:00Z",
            *what,
        )

    def versions(self) -> dict[str, str]:
        """Return the installed versions, by name."""
        lines = self._run("pip", "freeze", "--python", str(self.python)).splitlines()
        found = {}
        for line in lines:
            name, _, version = line.replace(" @ ", "==").partition("==")
            found[name] = version
        return found

    def _run(self, *arguments: str) -> str:
        ran = subprocess.run(
            [self._uv, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        )
        if ran.returncode:
            raise RuntimeError(ran.stderr.strip()[-2000:])
        return ran.stdout
