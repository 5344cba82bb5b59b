"""``@task.gptimg`` in a real Airflow: every attempt, and every resume, in a process of its own."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dev.airflow_run import UNMAPPED, DagRun
from dev.processes import wait_until
from tests.support.stage import Account, open_account

PATIENCE = 240


KILLED = {"killed_in_post": 0, "killed_forgetful": 0, "killed_waiting": 1}
"""Tasks that are killed once they have been accepted and looked at so many times."""

remembers = pytest.mark.skipif(
    find_spec("airflow.sdk.bases.resumablejobmixin") is None, reason="this Airflow has no task state store"
)


@dataclass
class Played:
    """The run, what its functions noted, and what some tasks have paid for."""

    run: DagRun
    folder: Path
    accounts: dict[str, Account]
    while_deferred: dict[str, Any] = field(default_factory=dict)

    def calls(self, task_id: str, map_index: int = UNMAPPED) -> list[list[str]]:
        """Return the process and the prompt of each call of a task's function."""
        lines = (self.folder / f"{task_id}.{map_index}").read_text().splitlines()
        return [line.split(" ", 1) for line in lines]

    def rendered(self, task_id: str, map_index: int = UNMAPPED) -> dict[str, Any]:
        fields: dict[str, Any] = self.run.task(task_id, map_index).details()["rendered_fields"]
        return fields


def _paid(account: Account, polls: int) -> bool:
    """Return whether a submission is accepted, and has been looked at so many times."""
    return any(row["polls"] >= polls for row in account())


@pytest.fixture(scope="module")
def played(airflow_stack, emulator_process, tmp_path_factory):
    emulator_process.reset()
    rule = {"on": "submit", "kind": "delay", "seconds": PATIENCE, "times": 1}
    emulator_process.faults([{**rule, "match": f"{name}."} for name, polls in KILLED.items() if not polls])
    folder = tmp_path_factory.mktemp("taskflow")
    accounts = {name: open_account(airflow_stack, name, emulator_process) for name in (*KILLED, "cleared")}
    run = airflow_stack.api.start_dag("taskflow", conf={"folder": str(folder)})
    played = Played(run, folder, accounts)

    for name, polls in KILLED.items():
        wait_until(partial(_paid, accounts[name], polls), PATIENCE, run.describe)
        ((process, _),) = played.calls(name)
        os.kill(int(process), signal.SIGKILL)
    run.task("single").wait("deferred", timeout=PATIENCE)
    played.while_deferred = played.rendered("single")

    assert run.wait(PATIENCE) == "success", run.describe()
    run.task("cleared").clear()
    wait_until(lambda: run.state() != "success", PATIENCE, run.describe)
    assert run.wait(PATIENCE) == "success", run.describe()
    yield played
    emulator_process.reset()


def test_nothing_failed(played):
    assert set(played.run.states().values()) == {"success"}


@pytest.mark.parametrize(
    ("task_id", "map_index"), [("single", -1), ("mapped", 0), ("mapped", 1), ("stored", -1)]
)
def test_a_task_that_resumes_does_not_call_the_function_again(task_id, map_index, played):
    assert "is completed with" in played.run.task(task_id, map_index).log()
    assert len(played.calls(task_id, map_index)) == 1


def test_the_rendered_view_shows_the_whole_prompt_waiting_and_ended(played):
    prompt = "[slow] A red fox of taskflow, single" + "." * 500
    assert played.while_deferred["prompt"] == prompt
    assert played.rendered("single")["prompt"] == prompt
    assert played.run.task("single").xcom()["prompt"] == prompt[:200]


def test_mapped(played):
    for index, animal in enumerate(["fox", "whale"]):
        shown = played.rendered("mapped", index)
        assert (shown["prompt"], shown["n"], shown["size"]) == (f"A blue {animal}", 2, "3:2")
        assert len(played.run.task("mapped", index).xcom("urls")) == 2
    assert played.run.task("see").xcom() == [[2, 2], ["A blue fox", "A blue whale"]]


def test_multiple_outputs(played):
    task = played.run.task("outputs")
    result = task.xcom()
    keys = {key for key in task.xcom_keys() if not key.startswith("_link_")}  # Airflow keeps links there
    assert keys == {"return_value", *result}
    assert {key: task.xcom(key) for key in result} == result
    assert played.run.task("see_outputs").xcom() == [[1], []]


def test_stored_where_the_function_said_before_the_deferral(played):
    (image,) = played.run.task("stored").xcom()["images"]
    (path,) = (played.folder / "returned").iterdir()
    assert image["uri"].endswith(str(path))
    assert not (played.folder / "declared").exists()


@pytest.mark.parametrize("name", KILLED)
def test_a_retry_pays_nothing(name, played):
    (paid,) = played.accounts[name]()
    result = played.run.task(name).xcom()
    assert (result["generation_id"], result["submissions"]) == (paid["id"], 1)
    assert played.run.task(name).details()["try_number"] == 2


def test_a_retry_that_cannot_remember_calls_the_function_again(played):
    (first, prompt), (second, other_prompt) = played.calls("killed_forgetful")
    assert first != second
    assert prompt != other_prompt


@remembers
@pytest.mark.parametrize("name", ["killed_waiting", "killed_in_post"])
def test_a_retry_goes_on_with_the_prompt_that_was_paid_for(name, played):
    ((_, prompt),) = played.calls(name)
    assert played.run.task(name).xcom()["prompt"] == played.rendered(name)["prompt"] == prompt


def test_a_clear_calls_the_function_again_and_pays_again(played):
    (_, _), (_, prompt) = played.calls("cleared")
    _, paid = played.accounts["cleared"]()
    result = played.run.task("cleared").xcom()
    assert (result["generation_id"], result["prompt"]) == (paid["id"], prompt)
