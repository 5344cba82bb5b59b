"""The example DAGs load by themselves, are short, and follow one pattern."""

from __future__ import annotations

import ast
import re
import socket
import time
from pathlib import Path

import pytest

from airflow_provider_gptimg.compat.human_input import HAS_HUMAN_INPUT
from tests.support.airflow_versions import new_dag_bag

FOLDER = Path(__file__).parents[2] / "example_dags"
EXAMPLES = sorted(FOLDER.glob("*.py"))
MARKER = re.compile(r"^ *# \[(START|END) (howto_\w+)\]$", re.MULTILINE)
READ_IN_A_MINUTE = 80
SOON = 5.0
"""Seconds for one file on a busy machine; it takes a tenth of that where nothing else runs."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an example wants to connect while it is parsed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for kind in ("Connection", "Variable"):
        monkeypatch.setattr(f"airflow.sdk.{kind}.get", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_loads_at_once_without_errors_warnings_or_network(path: Path) -> None:
    bag = new_dag_bag(path, collect_dags=False, bundle_name="examples")
    started = time.monotonic()
    found = bag.process_file(str(path))
    assert time.monotonic() - started < SOON
    assert (bag.import_errors, bag.captured_warnings) == ({}, {})
    assert [dag.dag_id for dag in found if dag.dag_id.startswith(path.stem)] == [dag.dag_id for dag in found]
    assert path.stem in bag.dags or (path.stem == "example_gptimg_review" and not HAS_HUMAN_INPUT)
    for dag in found:
        assert dag.tags == {"gptimg"}
        assert dag.catchup is False
        paying = [task for task in dag.tasks if "conn_id" in task.template_fields]
        assert [task.task_id for task in paying if not task.retries] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_can_be_read_in_a_minute(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= READ_IN_A_MINUTE
    says = ast.get_docstring(ast.parse(source))
    assert says
    assert 1 <= len(re.findall(r"\.(?=\s|$)", says)) <= 3


def test_markers_are_paired_and_unique() -> None:
    names = []
    for path in EXAMPLES:
        marks = MARKER.findall(path.read_text())
        assert marks, path.name
        starts, ends = marks[::2], marks[1::2]
        assert [("END", name) for _, name in starts] == ends, path.name
        names += [name for _, name in starts]
        assert len(marks) == len(re.findall(r"\[(?:START|END)", path.read_text())), path.name
    assert len(names) == len(set(names))
