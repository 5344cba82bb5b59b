"""The stage for stories: runs of a DAG whose tasks each have an account of their own at an emulator.

A task's connection has its own API key, so the ledger tells which task paid for what. Stories are
played side by side, because most of their time is waiting.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import psutil
from airflow.api_fastapi.core_api.datamodels.task_instances import ClearTaskInstancesBody
from PIL import Image

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_run import FINAL_TASK_STATES, UNMAPPED, RunTask
from dev.processes import wait_until
from dev.stack import AirflowStack

T = TypeVar("T")
Account = Callable[[], list[dict[str, Any]]]
"""Tells what was paid for with one API key, the oldest submission first."""

CLEARS_FORGET = "keep_task_state" in ClearTaskInstancesBody.model_fields

_NUMBERS = itertools.count()
PATIENCE = 240
"""Seconds for one step of a story: a busy machine may take its time."""

FRESH_SECONDS = 0.4
"""So old may be what stories see of a run: a dozen of them ask at once."""


class Actor:
    """One task of a run, its fault points and its account."""

    def __init__(self, stage: Stage, task: RunTask, emulator: Remote, submissions: Account) -> None:
        self.task = task
        self.emulator = emulator
        self.submissions = submissions
        self._stage = stage

    @property
    def forgets(self) -> bool:
        """Whether a Clear of this stage discards the task state."""
        return CLEARS_FORGET and not self._stage.clear_options.get("keep_task_state")

    def beside(self, task_id: str, map_index: int = UNMAPPED) -> Actor:
        """Return another task of the same run."""
        return self._stage.actor(task_id, map_index)

    def wait_paid(self, times: int = 1) -> list[dict[str, Any]]:
        """Wait until the service has accepted so many submissions of this task, and return them."""

        def probe() -> list[dict[str, Any]] | None:
            rows = self.submissions()
            return rows if len(rows) >= times else None

        return self._wait(probe, f"{times} submissions")

    def wait_watched(self) -> None:
        """Wait until somebody has asked the service how the task's latest submission goes."""
        self._wait(lambda: (rows := self.submissions()) and rows[-1]["polls"] > 0, "a look at the submission")

    def wait_status(self, status: str) -> None:
        """Wait until the service says this of the task's latest submission."""
        self._wait(lambda: (rows := self.submissions()) and rows[-1]["status"] == status, f"status {status}")

    def wait_reached(self, point: str) -> int:
        """Wait until a process of the task has reached a fault point, and return the process's id."""
        file = self._stage.folder / f"{self.task.task_id}.{self.task.map_index}.{point}"
        return int(self._wait(lambda: file.exists() and file.read_text(), f"the fault point {point!r}"))

    def kill_at(self, point: str, *, with_supervisor: bool = False) -> None:
        """Kill the task's process at a fault point; with its supervisor, as the loss of a machine does."""
        process = psutil.Process(self.wait_reached(point))
        if with_supervisor:
            os.kill(process.ppid(), signal.SIGKILL)
        process.kill()

    def wait_state(self, *states: str, try_number: int = 1, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait until the task is in one of ``states`` in this attempt or a later one; return its details."""

        def probe() -> dict[str, Any] | None:
            found = self._stage.look(self.task)
            return found if found and found["state"] in states and found["try_number"] >= try_number else None

        return self._wait(probe, f"state {' or '.join(states)} in attempt {try_number}", timeout)

    def wait_success(self, *, try_number: int = 1, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait until the task ends in this attempt or a later one; it must succeed and hand images on."""
        ended = self.wait_state(*FINAL_TASK_STATES, try_number=try_number, timeout=timeout)
        assert ended["state"] == "success", self._describe("success")
        result = self.task.xcom()
        assert result["status"] == "completed"
        assert self.task.xcom("generation_id") == result["generation_id"] == self.submissions()[-1]["id"]
        assert self.task.xcom("urls") == result["urls"] != []
        for url in result["urls"]:
            with urllib.request.urlopen(url) as answer:
                assert Image.open(io.BytesIO(answer.read())).size == (1024, 1024)
        return ended

    def clear(self, **options: Any) -> None:
        """Clear the task as the UI does."""
        self.task.clear(**{**self._stage.clear_options, **options})

    def log(self) -> str:
        """Return the logs of all attempts."""
        return "\n".join(self.task.log(number + 1) for number in range(self.task.details()["try_number"]))

    def _wait(self, probe: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
        return wait_until(probe, timeout, lambda: self._describe(what), interval=0.1)

    def _describe(self, wanted: str) -> str:
        return (
            f"{self.task.task_id}: wanted {wanted}; it is {self._stage.look(self.task)}, paid for "
            f"{self.submissions()}\n{self.log()[-6000:]}"
        )


class Stage:
    """A new run of a DAG of stories.

    :param folder: where fault points are told.
    :param emulators: the emulator that each task works with.
    :param clear_options: what every Clear of a story asks for, besides its task.
    """

    def __init__(
        self,
        stack: AirflowStack,
        dag_id: str,
        folder: Path,
        emulators: Mapping[str, Remote],
        clear_options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.stack = stack
        self.folder = folder
        self.clear_options = clear_options
        self._emulators = emulators
        self._accounts = {name: open_account(stack, name, place) for name, place in emulators.items()}
        self._lock = threading.Lock()
        self._seen: list[dict[str, Any]] = []
        self._seen_at = -FRESH_SECONDS
        self.run = stack.api.start_dag(dag_id, conf={"faultpoints": str(folder)})

    def actor(self, task_id: str, map_index: int = UNMAPPED) -> Actor:
        """Return one task of the run."""
        task = self.run.task(task_id, map_index)
        return Actor(self, task, self._emulators[task_id], self._accounts[task_id])

    def look(self, task: RunTask) -> dict[str, Any] | None:
        """Return the details of a task instance, None while there is none."""
        with self._lock:
            if time.monotonic() > self._seen_at + FRESH_SECONDS:
                self._seen = self.run.tasks()
                self._seen_at = time.monotonic()
            wanted = (task.task_id, task.map_index)
            return next((ti for ti in self._seen if (ti["task_id"], ti["map_index"]) == wanted), None)


def open_account(stack: AirflowStack, task_id: str, emulator: Remote) -> Account:
    """Make a task's connection, with a key of its own; return what tells what was paid, oldest first."""
    key = f"sk-story-{next(_NUMBERS):04d}"
    connection = {
        "connection_id": f"story_{task_id}",
        "conn_type": "gptimg",
        "host": emulator.base_url,
        "password": key,
        "extra": json.dumps({"timeout": PATIENCE}),  # who is killed in a call must not have given it up
    }
    write(stack, "connections", connection)
    return lambda: [row for row in emulator.ledger()["submissions"] if row["key_tail"] == key[-4:]]


def write(stack: AirflowStack, kind: str, entity: dict[str, Any]) -> None:
    """Write a connection or a variable, in place of one of the same name."""
    action = {"action": "create", "entities": [entity], "action_on_existence": "overwrite"}
    answer = stack.api.request("PATCH", f"/{kind}", json={"actions": [action]})
    assert not answer["create"]["errors"], answer


def side_by_side(
    stories: Mapping[str, Callable[[], T]], meanwhile: Callable[[], None] = lambda: None
) -> dict[str, Future[T]]:
    """Play stories side by side and return, once all have ended, how each of them ended.

    :param meanwhile: runs in the calling thread. Processes are started there: they are told to end
        together with the thread that started them.
    """
    with ThreadPoolExecutor(max_workers=len(stories)) as pool:
        futures = {name: pool.submit(story) for name, story in stories.items()}
        meanwhile()
    return futures
