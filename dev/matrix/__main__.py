"""Build the wheel, install it into each environment, and run the tests there against a real Airflow.

The tests run in a copy of the checkout without the package, so that they use the wheel. Every new row goes
into the table of docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from dev.matrix.cells import CELLS, EVERY_CELL, TOOLS_AS_OF, Cell, Environment, find_python
from dev.release.checks import metadata

CHECKOUT = Path(__file__).resolve().parent.parent.parent
HOME = CHECKOUT / ".matrix"
PAGE = CHECKOUT / "docs" / "compatibility.md"
BEGIN, END = "<!-- the output of make matrix begins -->", "<!-- and ends -->"
COPIED = ("tests", "dev", "benchmarks", "example_dags", "pyproject.toml")
NEW_WITH_US = {"imagesize", "pillow"}
"""The packages that the wheel with its extras may add."""

EXTRAS = ("emulator", "verify")
OF_THE_REPOSITORY = ("documentation", "readme", "release", "workflows")
UNIT = (
    *("-m", "not integration", "-n", "3", "tests"),
    *("--ignore=tests/emulator", "--ignore=tests/project/typing"),
    *(f"--ignore-glob=*/test_{name}*" for name in OF_THE_REPOSITORY),
)
"""All tests except those that read the repository and do not run the package."""

REAL = ("tests/airflow/test_generate.py",)
"""A deferred DAG and the other ways to wait, on a real scheduler and triggerer."""


@dataclass
class Outcome:
    """The outcome of a cell.

    :param airflow: the version of Airflow that was tested.
    :param problem: why it did not run to its end.
    :param added: packages that the wheel added to Airflow's.
    :param changed: packages of Airflow that the wheel replaced with another version.
    :param above: packages that are not at the wheel's floor, if the floors are tested.
    :param counts: passed, failed and skipped tests of each run.
    """

    cell: Cell
    airflow: str = ""
    problem: str | None = None
    added: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether everything passed, and the installation was as promised."""
        return (
            not self.problem
            and not self.changed
            and not self.above
            and (self.cell.lowest or self.added.keys() <= NEW_WITH_US)
            and all(passed and not bad for passed, bad, _ in self.counts)
        )


def main(arguments: list[str]) -> int:
    """Run the cells and return the exit code: 0 if every one is good."""
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=__doc__)
    parser.add_argument("cells", nargs="*", help="versions of Airflow to run, such as 3.1, or lowest")
    parser.add_argument("--all", action="store_true", help="every Airflow on every Python")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    options = parser.parse_args(arguments)
    cells = [
        cell
        for cell in (EVERY_CELL if options.all else CELLS)
        if not options.cells or any(map(cell.is_meant_by, options.cells))
    ]
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    wheel = _wheel(uv)
    outcomes = []
    for cell in cells:
        if cell.optional and find_python(cell.python) is None:
            print(f"{cell.name}: left out, there is no Python {cell.python} on this machine")
            continue
        print(f"{cell.name} ...", flush=True)
        outcomes.append(outcome := _run(cell, wheel, uv))
        print(f"  {_sentence(outcome)}", flush=True)
    print(f"\n{_table(map(_row, outcomes))}")
    _write(outcomes)
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _wheel(uv: str) -> Path:
    target = HOME / "dist"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", target, CHECKOUT], check=True)
    return next(target.glob("*.whl"))


def _run(cell: Cell, wheel: Path, uv: str) -> Outcome:
    outcome, began = Outcome(cell, cell.airflow), time.monotonic()
    interpreter = find_python(cell.python)
    if interpreter is None:
        outcome.problem = f"no Python {cell.python} on this machine"
        return outcome
    folder = HOME / cell.name
    environment = Environment(cell, folder / "venv", uv)
    try:
        environment.build(interpreter)
        before = environment.versions()
        outcome.airflow = before["apache-airflow"]
        environment.install(*_wanted(cell, wheel))
        after = environment.versions()
        kept = folder / "kept.txt"
        names = sorted(after.keys() - {"airflow-provider-gptimg"})
        kept.write_text("".join(f"{name}=={after[name]}\n" for name in names))
        # The tests' tools do not change any tested package.
        group = f"{CHECKOUT / 'pyproject.toml'}:test"
        environment.install("--constraint", str(kept), "--group", group, as_of=TOOLS_AS_OF)
    except RuntimeError as error:
        outcome.problem = str(error)
        return outcome
    outcome.added = {name: after[name] for name in names if name not in before}
    if cell.lowest:
        outcome.above = [
            f"{name} {after[name]} instead of {floor}"
            for name, floor in _floors(wheel).items()
            if Version(after[name]) != Version(floor)
        ]
    else:
        outcome.changed = [
            f"{name} {before[name]} -> {after[name]}"
            for name in names
            if name in before and before[name] != after[name]
        ]
    copy = _copy(folder / "checkout")
    outcome.counts = [_tests(environment.python, copy, run) for run in (UNIT, REAL)]
    outcome.seconds = time.monotonic() - began
    return outcome


def _wanted(cell: Cell, wheel: Path) -> list[str]:
    """Return what to install: the wheel with its extras, and its floors if they are tested."""
    floors = _floors(wheel) if cell.lowest else {}
    return [f"{wheel}[{','.join(EXTRAS)}]", *(f"{name}=={floor}" for name, floor in floors.items())]


def _floors(wheel: Path) -> dict[str, str]:
    """Return the lowest version of each requirement of the wheel and its extras."""
    floors = {}
    for line in metadata(wheel).get_all("Requires-Dist", []):
        needed = Requirement(line)
        if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            floors[needed.name] = next(it.version for it in needed.specifier if it.operator == ">=")
    return floors


def _copy(target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *COPIED],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name)
    return target


def _tests(python: Path, copy: Path, arguments: tuple[str, ...]) -> tuple[int, int, int]:
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    log = copy.parent / f"{'real' if arguments == REAL else 'unit'}.log"
    with log.open("w") as output:
        subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", *arguments],
            cwd=copy,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
    if not report.exists():
        return 0, 1, 0
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    number = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    bad = number["failures"] + number["errors"]
    return number["tests"] - bad - number["skipped"], bad, number["skipped"]


def _sentence(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem
    runs = "; real: ".join(_count(*counts) for counts in outcome.counts)
    where = "" if outcome.is_good else f"; see .matrix/{outcome.cell.name}/*.log"
    differs = [*outcome.changed, *outcome.above]
    changed = f"; changed {', '.join(differs)}" if differs else ""
    return f"{runs}{changed}; {outcome.seconds:.0f} s{where}"


HEADS = (
    "Airflow",
    "Python",
    "as of",
    "tests",
    "on a real scheduler",
    "wheel added",
    "of Airflow's changed",
    "run on",
)


def _row(outcome: Outcome) -> str:
    cell = outcome.cell
    said = [outcome.problem.splitlines()[0], ""] if outcome.problem else []
    said = said or [_count(*counts) for counts in outcome.counts]
    added = ", ".join(f"{name} {version}" for name, version in outcome.added.items()) or "nothing"
    changed = "to the floors" if cell.lowest else ", ".join(outcome.changed) or "nothing"
    day = str(datetime.now(timezone.utc).date())
    name = f"{outcome.airflow}, lowest versions" if cell.lowest else outcome.airflow
    return _line(name, cell.python, cell.as_of, *said, added, changed, day)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(rows: Iterable[str]) -> str:
    return "\n".join([_line(*HEADS), "|---" * len(HEADS) + "|", *rows])


def _count(passed: int, bad: int, skipped: int) -> str:
    parts = [f"{passed} passed", f"{bad} failed" if bad else "", f"{skipped} skipped" if skipped else ""]
    return ", ".join(filter(None, parts))


def _write(outcomes: list[Outcome]) -> None:
    """Write the outcomes into the page, good or not. Rows that were not run stay as they are."""
    text = PAGE.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    rows: dict[Cell, str] = {}
    for line in filter(lambda line: line.startswith("| "), text[start:end].splitlines()):
        airflow, python, *_ = line.strip("| ").split(" | ")
        rows |= {cell: line for cell in CELLS if cell.is_row(airflow, python)}
    rows |= {outcome.cell: _row(outcome) for outcome in outcomes}
    PAGE.write_text(
        f"{text[:start]}\n\n{_table(rows[cell] for cell in CELLS if cell in rows)}\n\n{text[end:]}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
