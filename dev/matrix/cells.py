"""Which environments there are, and how each is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""What is promised: the classifiers of pyproject.toml."""

NEXT_PYTHON = "3.14"
"""What Airflow has already. It is tried wherever there is one, and promised once a run says so."""


@dataclass(frozen=True)
class Cell:
    """An Airflow and a Python.

    :param airflow: version of Airflow; of a series such as ``3.4`` the newest one that there is, a beta while
        there is no release.
    :param python: version of Python, major and minor.
    :param as_of: nothing that came out later than this day (UTC) began is installed, except for the tools of
        the tests. An Airflow that is resolved with the dependencies of a later time may not even start.
    :param lowest: take the lowest versions that the wheel allows for what it depends on.
    :param optional: leave it out where there is no such Python.
    """

    airflow: str
    python: str
    as_of: str
    lowest: bool = False
    optional: bool = False

    @property
    def requirements(self) -> list[str]:
        """What to ask the index for, one after the other until it has it."""
        if self.airflow.count(".") == 2:
            return [f"apache-airflow=={self.airflow}"]
        return [f"apache-airflow~={self.airflow}.0", f"apache-airflow~={self.airflow}.0a0"]

    def is_row(self, airflow: str, python: str) -> bool:
        """Return whether a row of the table is its own, by the first two columns."""
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
        """Return whether a word of the command line names it: a version of Airflow or its beginning."""
        parts = {self.name, f"python-{self.python}", *(["lowest"] if self.lowest else [])}
        return word in parts or f"{self.airflow}.".startswith(f"{word}.")


AS_OF = {
    "3.0.0": "2025-05-01",
    "3.0.6": "2025-09-20",
    "3.1.8": "2026-03-12",
    "3.2.2": "2026-06-05",
    "3.3.2": "2026-10-15",
}
"""Some days after the release of each Airflow, when the releases of its dependencies were out too."""

NEWEST, NEWEST_AS_OF = "3.4", str(datetime.now(timezone.utc).date())
"""Of the newest series, what there is today."""

TOOLS_AS_OF = "2026-10-15"
"""The tests' own tools are no part of what is tested, and may be newer than it."""

TOOLS_NEED = ("python-dateutil<3",)
"""What the tests' own tools (boto, of the S3 server) can be installed with; Airflow takes newer ones too."""

WITHOUT = {("3.0.6", "3.14"), ("3.1.8", "3.14"), ("3.4", "3.10")}
"""Pythons that an Airflow does not have."""

CELLS = (
    Cell("3.0.0", "3.10", AS_OF["3.0.0"], lowest=True),
    Cell("3.0.6", "3.10", AS_OF["3.0.6"]),
    Cell("3.1.8", "3.11", AS_OF["3.1.8"]),
    Cell("3.2.2", "3.12", AS_OF["3.2.2"]),
    Cell("3.3.2", "3.13", AS_OF["3.3.2"]),
    Cell(NEWEST, "3.13", NEWEST_AS_OF),
    Cell(NEWEST, NEXT_PYTHON, NEWEST_AS_OF, optional=True),
)
"""What is run unless told otherwise: each Airflow and each Python once, and the floors."""

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
    """Return an interpreter of a version, None where there is none: from PATH, or one that pyenv keeps."""
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

    :param folder: where it lies.
    :param uv: the program.
    """

    def __init__(self, cell: Cell, folder: Path, uv: str) -> None:
        self.cell = cell
        self.python = folder / "bin" / "python"
        self._folder, self._uv = folder, uv

    def build(self, interpreter: str) -> None:
        """Make it again, with Airflow in it; what was fetched before is taken from uv's cache."""
        self._run("venv", "--quiet", "--clear", "--python", interpreter, str(self._folder))
        *released, last = self.cell.requirements
        for requirement in released:
            with suppress(RuntimeError):
                return self.install(requirement, *TOOLS_NEED)
        self.install(last, *TOOLS_NEED)

    def install(self, *what: str, as_of: str | None = None) -> None:
        """Install as of a day, which is the cell's or a later one.

        :raises RuntimeError: with what uv says of it.
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
        """Return what is installed, by name."""
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
