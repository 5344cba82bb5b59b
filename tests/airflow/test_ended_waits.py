"""A task that waits on a worker ends at once when Airflow ends it, and the next attempt pays nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from dev.airflow_env import HEARTBEAT_SECONDS
from dev.airflow_run import DagRun, RunTask
from dev.processes import wait_until

PATIENCE = 120
LATENCY = 60.0
"""Seconds an image takes."""

AT_ONCE = 5.0
"""Seconds in which the process of a task must be gone once it is told to end."""

PAID = {"generate": 1, "poke": 1, "batch": 3}
Submissions = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def submissions(airflow_stack, emulator) -> Iterator[Submissions]:
    """Return what tells what a task was paid for with; each has an account of its own."""
    emulator.configure(latency_median=LATENCY, latency_sigma=0)
    api = airflow_stack.api
    for name in PAID:
        connection = {"conn_type": "gptimg", "host": emulator.base_url, "password": f"sk-ended-{name[:4]}"}
        api.request("POST", "/connections", json={"connection_id": f"ended_{name}", **connection})
    yield lambda name: [row for row in emulator.ledger()["submissions"] if row["key_tail"] == name[:4]]
    for name in PAID:
        api.request("DELETE", f"/connections/ended_{name}")


@pytest.mark.parametrize("how", ["cleared", "terminated"])
def test_a_wait_ends_at_once(airflow_stack, emulator, submissions, tmp_path, record_figures, how):
    """The process ends within seconds, the service is asked again, and finds what was paid."""
    run = airflow_stack.api.start_dag("ended_waits", conf={"folder": tmp_path.as_uri()})
    tasks = {name: run.task(name) for name in PAID}
    processes = {
        name: waiting(task, lambda n=name: submissions(n), PAID[name]) for name, task in tasks.items()
    }
    for name, task in tasks.items():
        began = time.monotonic()
        allowed = AT_ONCE
        if how == "cleared":
            task.clear(include_downstream=False)
            allowed += HEARTBEAT_SECONDS  # only then does Airflow hear of it
        else:
            processes[name].send_signal(signal.SIGTERM)
        wait_until(
            lambda p=processes[name]: not p.is_running() or p.status() == psutil.STATUS_ZOMBIE,
            allowed,
            lambda t=task: f"{t.task_id} still waits\n{t.log()}",
            interval=0.05,
        )
        record_figures(f"{name}, {how}: its process ended after {time.monotonic() - began:.1f} s")
    for task in tasks.values():
        wait_until(lambda t=task: t.details()["try_number"] == 2, PATIENCE, run.describe, interval=0.2)
    emulator.advance(2 * LATENCY)
    assert run.wait(PATIENCE) == "success", run.describe()
    for name, task in tasks.items():
        assert len(submissions(name)) == PAID[name], task.log(2)
        assert task.details()["try_number"] == 2, task.log(2)
        assert "Airflow ended the task while it" in task.log(1)


def waiting(task: RunTask, paid: Submissions, count: int) -> psutil.Process:
    """Wait until a task waits for what it has paid, and return its process."""
    run: DagRun = task.run

    def probe() -> psutil.Process | None:
        rows = paid()
        is_watched = len(rows) == count and all(row["polls"] for row in rows)
        pid = task.details().get("pid") if is_watched else None
        return psutil.Process(pid) if pid else None

    return wait_until(probe, PATIENCE, run.describe, interval=0.2)
