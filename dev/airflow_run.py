"""One DAG run and its task instances, used as a user does: through the REST API."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dev.processes import wait_until

if TYPE_CHECKING:
    from dev.airflow_api import AirflowApi

FINAL_RUN_STATES = frozenset({"success", "failed"})
FINAL_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
UNMAPPED = -1


@dataclass(frozen=True)
class DagRun:
    """A run of a DAG."""

    api: AirflowApi
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """The run's path in the API."""
        return f"/dags/{self.dag_id}/dagRuns/{quote(self.run_id)}"

    @property
    def url(self) -> str:
        """The run's page in the browser."""
        return f"{self.api.base_url}/dags/{self.dag_id}/runs/{quote(self.run_id)}"

    def state(self) -> str:
        """Return the state of the run."""
        return str(self.api.request("GET", self.path)["state"])

    def wait(self, timeout: float = 120) -> str:
        """Wait until the run has ended and return how: ``success`` or ``failed``."""

        def probe() -> str | None:
            state = self.state()
            return state if state in FINAL_RUN_STATES else None

        return wait_until(probe, timeout, self.describe, interval=0.5)

    def tasks(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return the API's description of every task instance, in order of task and map index."""
        found = self.api.collect(f"{self.path}/taskInstances", "task_instances")
        wanted = [ti for ti in found if task_id in (None, ti["task_id"])]
        return sorted(wanted, key=lambda ti: (ti["task_id"], ti["map_index"]))

    def states(self) -> dict[str, str | None]:
        """Return the state of every task instance, by name (``task`` or ``task[index]``)."""
        return {task_name(ti["task_id"], ti["map_index"]): ti["state"] for ti in self.tasks()}

    def mismatches(self) -> Counter[str]:
        """Return how many attempts Airflow failed because they were resumed too soon, by the task's name.

        A busy scheduler sees that a task was deferred only after it was resumed. It takes that for a change
        from outside, and writes "state mismatch" into the audit log.
        """
        where = {"dag_id": self.dag_id, "run_id": self.run_id, "event": "state mismatch"}
        logs = self.api.collect("/eventLogs", "event_logs", **where)
        return Counter(task_name(entry["task_id"], entry["map_index"]) for entry in logs)

    def task(self, task_id: str, map_index: int = UNMAPPED) -> RunTask:
        """Return a handle on one task instance."""
        return RunTask(self, task_id, map_index)

    def describe(self) -> str:
        """Return the states of the run and its tasks, and all evidence, for a message."""
        states = [f"  {name}: {state}" for name, state in self.states().items()]
        head = f"run {self.run_id} of {self.dag_id} is {self.state()}"
        return "\n".join([head, *states, self.api.evidence()])


@dataclass(frozen=True)
class RunTask:
    """A task instance of a run."""

    run: DagRun
    task_id: str
    map_index: int = UNMAPPED

    def details(self) -> dict[str, Any]:
        """Return the API's description: ``state``, ``try_number``, ``max_tries``, ``trigger``, ..."""
        found: dict[str, Any] = self.run.api.request("GET", self._path)
        return found

    def state(self) -> str | None:
        """Return the state; None before the scheduler has looked at the task."""
        state: str | None = self.details()["state"]
        return state

    def tries(self) -> int:
        """Return how often the task was attempted, retries and clears included."""
        answer = self.run.api.request("GET", f"{self._path}/tries")
        return len(answer["task_instances"])

    def wait(self, *states: str, timeout: float = 60) -> str:
        """Wait until the task is in one of ``states`` (by default: has ended) and return which."""
        wanted: Collection[str] = states or FINAL_TASK_STATES

        def probe() -> str | None:
            # uses the list of all tasks, because a mapped instance may not exist yet
            for ti in self.run.tasks(self.task_id):
                if ti["map_index"] == self.map_index and ti["state"] in wanted:
                    return str(ti["state"])
            return None

        def describe() -> str:
            name = task_name(self.task_id, self.map_index)
            return f"{name} is in none of {sorted(wanted)}\n{self.run.describe()}"

        return wait_until(probe, timeout, describe, interval=0.4)

    def clear(self, **options: Any) -> None:
        """Clear the task as a user does; options such as ``include_downstream=True`` pass through."""
        selector = self.task_id if self.map_index == UNMAPPED else [self.task_id, self.map_index]
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": self.run.run_id,
            "task_ids": [selector],
            **options,
        }
        self.run.api.request("POST", f"/dags/{self.run.dag_id}/clearTaskInstances", json=body)

    def mark(self, state: str) -> None:
        """Mark the task ``success``, ``failed`` or ``skipped``, as a user does."""
        self.run.api.request("PATCH", self._path, json={"new_state": state})

    def wait_question(self, timeout: float = 120) -> dict[str, Any]:
        """Wait until the task asks people and may be answered, and return what it asks.

        The scheduler must see the end of the worker first, as it does before any person answers. If the task
        is already queued again, the scheduler takes it for one that was changed from outside.
        """
        self.wait("awaiting_input", "deferred", timeout=timeout)
        self.wait_worker_seen()
        return self.question()

    def wait_worker_seen(self) -> None:
        """Wait until the scheduler has seen the end of the last worker that it started for the task.

        The end of an earlier try may be seen later than the start of this one.
        """
        # A task in a task loop has an index there, and is logged like a mapped task (3.4).
        is_mapped = self.map_index != UNMAPPED
        index = rf"(?:map_index|region_id=\S+ region_index)={self.map_index}\b" if is_mapped else ""
        name = re.escape(f"<TaskInstance: {self.run.dag_id}.{self.task_id} {self.run.run_id} ")
        started = re.compile(rf"Trying to enqueue tasks.*{name}{index}")
        key = rf"dag_id='{self.run.dag_id}', task_id='{self.task_id}', run_id='{re.escape(self.run.run_id)}'"
        tried = self.details()["try_number"]
        ended = re.compile(rf"Received executor event.*{key}, try_number={tried}, {index}")

        def probe() -> bool:
            lines = self.run.api.scheduler_log().splitlines()
            return _last(ended, lines) > _last(started, lines) >= 0

        wait_until(probe, 60, self.run.describe, interval=0.2)

    def question(self) -> dict[str, Any]:
        """Return the task's question: ``subject``, ``body``, ``options``, ``chosen_options``, ..."""
        found: dict[str, Any] = self.run.api.request("GET", self._question)
        return found

    def answer(self, *options: str, **fields: Any) -> None:
        """Answer the task's question, with values for the fields of the form."""
        body = {"chosen_options": options, "params_input": fields}
        self.run.api.request("PATCH", self._question, json=body)

    def log_events(self, try_number: int = 1) -> list[dict[str, Any]]:
        """Return the log of one attempt as structured events, each with at least ``event``."""
        params = {"map_index": self.map_index, "full_content": True}
        answer = self.run.api.request("GET", f"{self._unmapped_path}/logs/{try_number}", params=params)
        return [entry if isinstance(entry, dict) else {"event": str(entry)} for entry in answer["content"]]

    def log(self, try_number: int = 1) -> str:
        """Return the log of one attempt as text, with all data of each event."""
        return "\n".join(_log_line(event) for event in self.log_events(try_number))

    def xcom_keys(self) -> list[str]:
        """Return the keys that the task has pushed."""
        path = f"{self._unmapped_path}/xcomEntries"
        entries = self.run.api.collect(path, "xcom_entries", map_index=self.map_index)
        return sorted(entry["key"] for entry in entries)

    def xcom(self, key: str = "return_value") -> Any:
        """Return an XCom as it is stored: a value that was encoded twice shows up as a str."""
        params = {"map_index": self.map_index, "deserialize": False}
        path = f"{self._unmapped_path}/xcomEntries/{quote(key)}"
        return self.run.api.request("GET", path, params=params)["value"]

    @property
    def _question(self) -> str:
        return f"{self._unmapped_path}/{self.map_index}/hitlDetails"

    @property
    def _unmapped_path(self) -> str:
        return f"{self.run.path}/taskInstances/{self.task_id}"

    @property
    def _path(self) -> str:
        return self._unmapped_path + ("" if self.map_index == UNMAPPED else f"/{self.map_index}")


def task_name(task_id: str, map_index: int) -> str:
    """Return a task instance's name for people: ``draw``, or ``draw[2]`` if it is mapped."""
    return task_id if map_index == UNMAPPED else f"{task_id}[{map_index}]"


def _last(pattern: re.Pattern[str], lines: list[str]) -> int:
    """Return the index of the last line that matches a pattern, -1 if there is none."""
    return max((number for number, line in enumerate(lines) if pattern.search(line)), default=-1)


def _log_line(event: dict[str, Any]) -> str:
    """Return one event as a line: time, level, text, then its other data."""
    known = ("timestamp", "level", "event")
    line = " ".join(str(event[name]) for name in known if event.get(name))
    rest = {name: value for name, value in event.items() if name not in known and value is not None}
    return f"{line} {json.dumps(rest, default=str)}" if rest else line
