"""Batches on a real Airflow: killed at work, deferred, cleared; every item is paid for once and stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dev.airflow_run import FINAL_TASK_STATES, RunTask
from dev.processes import wait_until

PATIENCE = 120
ITEMS = 60
RATE = 3
"""Submissions a second, so that there is a middle to kill a batch in."""

Account = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def account(airflow_stack, emulator):
    """Return what makes a connection with a key of its own, and tells what was paid with it."""
    opened = []

    def open_account(name: str) -> Account:
        key = f"sk-{name}-{name[-4:].rjust(4, '0')}"
        connection = {"conn_type": "gptimg", "host": emulator.base_url, "password": key}
        extra = json.dumps({"submit_rps": RATE})
        path = "/connections"
        airflow_stack.api.request("POST", path, json={"connection_id": name, **connection, "extra": extra})
        opened.append(f"{path}/{name}")
        return lambda: [row for row in emulator.ledger()["submissions"] if row["key_tail"] == key[-4:]]

    yield open_account
    for path in opened:
        airflow_stack.api.request("DELETE", path)


def check(result: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Check that the manifest names so many images, all of them whole where it says; return its lines."""
    lines = [
        json.loads(line) for line in Path(result["manifest"].removeprefix("file://")).read_text().splitlines()
    ]
    assert [line["index"] for line in lines] == list(range(count))
    assert {line["status"] for line in lines} == {"completed"}
    for line in lines:
        (image,) = line["images"]
        path = Path(image["uri"].removeprefix("file://"))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == (1024, 1024)
    return lines


def ended(task: RunTask, try_number: int) -> str:
    """Wait until an attempt of a task has ended, and return how."""

    def probe() -> str | None:
        found = task.details()
        is_over = found["try_number"] == try_number and found["state"] in FINAL_TASK_STATES
        return found["state"] if is_over else None

    return wait_until(probe, PATIENCE, task.run.describe, interval=0.2)


def test_a_batch_that_is_killed_at_work_is_paid_once(
    airflow_stack, emulator, account, tmp_path, record_figures
):
    submissions = account("batch_killed")
    run = airflow_stack.api.start_dag("batch_killed", conf={"folder": tmp_path.as_uri()})
    task = run.task("killed")

    def kill_once(reached: Callable[[], bool], what: str) -> None:
        wait_until(
            reached,
            PATIENCE,
            lambda: f"not {what}: {len(submissions())} paid\n{run.describe()}",
            interval=0.05,
        )
        assert airflow_stack.kill_tasks() == 1, task.log()

    def stored() -> int:
        return len(list(tmp_path.glob("*.png")))

    kill_once(lambda: len(submissions()) >= 15, "submitting")
    kill_once(lambda: len(submissions()) >= 40, "submitting again")
    kill_once(lambda: len(submissions()) == ITEMS and stored() < ITEMS, "downloading")
    assert run.wait(PATIENCE) == "success", task.log(task.details()["try_number"])
    rows = submissions()
    lines = check(task.xcom(), ITEMS)
    assert len(rows) == ITEMS
    assert {row["id"] for row in rows} == {line["generation_id"] for line in lines}
    assert stored() == ITEMS
    assert task.details()["try_number"] == 4
    record_figures(f"batch of {ITEMS}, killed three times: {len(rows)} paid, {stored()} stored")


def test_a_batch_that_only_waits_gives_its_worker_back(airflow_stack, account, tmp_path):
    submissions = account("batch_slow")
    run = airflow_stack.api.start_dag("batch_slow", conf={"folder": tmp_path.as_uri()})
    task = run.task("slow")
    task.wait("deferred", timeout=PATIENCE)
    wait_until(lambda: not airflow_stack.task_processes(), PATIENCE, run.describe, interval=0.2)
    assert task.state() == "deferred"
    assert not list(tmp_path.glob("*.png"))
    assert run.wait(PATIENCE) == "success", task.log()
    check(task.xcom(), 4)
    assert len(submissions()) == 4
    assert task.details()["try_number"] == 1


def test_a_clear_pays_for_what_is_missing_and_then_for_nothing(airflow_stack, account, tmp_path):
    submissions = account("batch_cleared")
    items = tmp_path / "items.jsonl"
    write = lambda *prompts: items.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))  # noqa: E731
    write("one", "two", "three [refuse]")
    folder = tmp_path / "out"
    conf = {"folder": folder.as_uri(), "items": str(items)}
    run = airflow_stack.api.start_dag("batch_cleared", conf=conf)
    task = run.task("cleared")
    assert run.wait(PATIENCE) == "failed"  # not only the task: a Clear before that is lost in it
    assert len(submissions()) == 2

    write("one", "two", "three")
    task.clear()
    assert ended(task, 2) == "success", task.log(2)
    assert run.wait(PATIENCE) == "success"
    first = check(task.xcom(), 3)
    assert (len(submissions()), task.xcom()["kept"]) == (3, 2)

    task.clear()
    assert ended(task, 3) == "success", task.log(3)
    second = check(task.xcom(), 3)
    assert (len(submissions()), task.xcom()["kept"]) == (3, 3)
    assert [line["generation_id"] for line in first] == [line["generation_id"] for line in second]


def test_the_example(airflow_stack, emulator, tmp_path):
    run = airflow_stack.api.start_dag("example_gptimg_batch", conf={"folder": tmp_path.as_uri()})
    assert run.wait(PATIENCE) == "success", run.describe()
    catalogue = run.task("catalogue").xcom()
    assert sorted(catalogue) == [f"sku-{number}" for number in range(4)]
    for uri in catalogue.values():
        with Image.open(uri.removeprefix("file://")) as picture:
            assert picture.size == (1536, 1024)
    assert len(emulator.ledger()["submissions"]) == 4
