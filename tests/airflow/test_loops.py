"""Task loops (Airflow 3.4): every iteration has its own images and its own files, each paid for once."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import task_group

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_run import DagRun
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.stage import PATIENCE, Account, open_account

ITERATIONS = 3
NAMES = ("one", "some", "many", "dies", "refused")


@task_group
def body() -> None:
    """Make nothing: what an Airflow can do with it is asked."""


GATE = "drafts.__loop_gate"

pytestmark = pytest.mark.skipif(not hasattr(body, "loop"), reason="This Airflow has no task loops")


@dataclass(frozen=True)
class Looped:
    """A run of the loop that has ended."""

    run: DagRun
    folder: Path
    accounts: dict[str, Account]

    def paid(self) -> dict[str, int]:
        """Return how many submissions each task has paid for."""
        return {name: len(account()) for name, account in self.accounts.items()}

    def clear(self, task_id: str, region_index: int, **options: Any) -> None:
        """Clear a task of one iteration, as the page of the loop does."""
        chosen = [ti for ti in self.run.tasks(task_id) if ti["region_index"] == region_index]
        ids = [ti["id"] for ti in chosen]
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run.run_id, **options}
        path = f"/dags/{self.run.dag_id}/clearTaskInstances"
        self.run.api.request("POST", path, json={**body, "task_instance_ids": ids})


@pytest.fixture(scope="module")
def looped(
    airflow_stack: AirflowStack, emulator_process: Remote, tmp_path_factory: pytest.TempPathFactory
) -> Looped:
    """Run the loop to its end, killing what stops at its fault point."""
    folder = tmp_path_factory.mktemp("loops")
    accounts = {name: open_account(airflow_stack, name, emulator_process) for name in NAMES}
    run = airflow_stack.api.start_dag("loops", conf={"faultpoints": str(folder), "folder": folder.as_uri()})
    kill_the_one_that_dies(run, folder)
    run.wait(2 * PATIENCE)
    return Looped(run, folder, accounts)


def kill_the_one_that_dies(run: DagRun, folder: Path) -> None:
    reached = folder / "drafts.dies.-1.after_post"
    wait_until(reached.exists, 2 * PATIENCE, run.describe)
    os.kill(int(reached.read_text()), signal.SIGKILL)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


@pytest.mark.parametrize(("name", "each"), [("one", 1), ("some", 2), ("dies", 1)])
def test_every_iteration_makes_its_own(looped: Looped, name: str, each: int) -> None:
    paid = looped.accounts[name]()
    assert len(paid) == len({row["client_business_id"] for row in paid}) == ITERATIONS * each
    assert len(files(looped.folder / name)) == ITERATIONS * each


def test_a_batch_in_a_loop_has_a_manifest_for_each_iteration(looped: Looped) -> None:
    assert len(looped.accounts["many"]()) == len(files(looped.folder / "many")) == ITERATIONS * 2
    manifests = [path.read_text().splitlines() for path in (looped.folder / "many").glob("*.jsonl")]
    generations = Counter(json.loads(line)["generation_id"] for lines in manifests for line in lines)
    assert (len(manifests), len(generations), max(generations.values())) == (ITERATIONS, ITERATIONS * 2, 1)


def test_an_iteration_that_is_refused_does_not_hand_on_another_ones_image(looped: Looped) -> None:
    assert len(looped.accounts["refused"]()) == len(files(looped.folder / "refused")) == ITERATIONS - 1


def test_a_clear_of_one_iteration_makes_that_one_anew(looped: Looped) -> None:
    before = looped.paid()
    looped.clear("drafts.one", 1)
    looped.run.wait(2 * PATIENCE)
    assert looped.paid() == {**before, "one": before["one"] + 1}
    assert len(files(looped.folder / "one")) == ITERATIONS + 1  # the image of before stays where it is


def test_a_clear_of_a_gate_with_the_later_iterations_pays_for_those_alone(looped: Looped) -> None:
    """Also when one of them dies on the way: what it paid for is what its next attempt goes on with."""
    before = looped.paid()
    (looped.folder / "drafts.dies.-1.after_post").unlink()
    looped.clear(GATE, 0, include_later_loop_iterations=True)
    kill_the_one_that_dies(looped.run, looped.folder)
    looped.run.wait(2 * PATIENCE)
    later = ITERATIONS - 1
    expected = {"one": later, "some": 2 * later, "many": 2 * later, "dies": later, "refused": later - 1}
    assert looped.paid() == {name: paid + expected[name] for name, paid in before.items()}
    assert len(files(looped.folder / "one")) == ITERATIONS + 1 + later
