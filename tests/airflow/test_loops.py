"""Task loops (Airflow 3.4): every iteration has its own images and its own files, each paid for once."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import task_group

from airflow_provider_gptimg.emulator.remote import Remote
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.stage import PATIENCE, open_account

ITERATIONS = 3
NAMES = ("one", "some", "many", "dies", "refused")


@task_group
def body() -> None:
    """Make nothing: what an Airflow can do with it is asked."""


pytestmark = pytest.mark.skipif(not hasattr(body, "loop"), reason="This Airflow has no task loops")


@pytest.fixture(scope="module")
def looped(
    airflow_stack: AirflowStack, emulator_process: Remote, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Callable[[], list[dict[str, Any]]]]]:
    """Run the loop to its end, killing what stops at its fault point; return its folder and accounts."""
    folder = tmp_path_factory.mktemp("loops")
    accounts = {name: open_account(airflow_stack, name, emulator_process) for name in NAMES}
    run = airflow_stack.api.start_dag("loops", conf={"faultpoints": str(folder), "folder": folder.as_uri()})
    reached = folder / "drafts.dies.-1.after_post"
    wait_until(reached.exists, 2 * PATIENCE, airflow_stack.api.evidence)
    os.kill(int(reached.read_text()), signal.SIGKILL)
    run.wait(2 * PATIENCE)
    return folder, accounts


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


@pytest.mark.parametrize(("name", "each"), [("one", 1), ("some", 2), ("dies", 1)])
def test_every_iteration_makes_its_own(looped: Any, name: str, each: int) -> None:
    folder, accounts = looped
    paid = accounts[name]()
    assert len(paid) == len({row["client_business_id"] for row in paid}) == ITERATIONS * each
    assert len(files(folder / name)) == ITERATIONS * each


def test_a_batch_in_a_loop_has_a_manifest_for_each_iteration(looped: Any) -> None:
    folder, accounts = looped
    assert len(accounts["many"]()) == len(files(folder / "many")) == ITERATIONS * 2
    manifests = [path.read_text().splitlines() for path in (folder / "many").glob("*.jsonl")]
    generations = Counter(json.loads(line)["generation_id"] for lines in manifests for line in lines)
    assert (len(manifests), len(generations), max(generations.values())) == (ITERATIONS, ITERATIONS * 2, 1)


def test_an_iteration_that_is_refused_does_not_hand_on_another_ones_image(looped: Any) -> None:
    folder, accounts = looped
    assert len(accounts["refused"]()) == len(files(folder / "refused")) == ITERATIONS - 1
