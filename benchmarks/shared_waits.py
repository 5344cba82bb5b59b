"""Waits that triggerers share: tasks that are deferred all at once, without starting a worker for each.

Run as ``python -m benchmarks.shared_waits FILE`` with the settings of an Airflow, it defers the tasks
that the JSON file names.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, text

from airflow_provider_gptimg.emulator.remote import Remote
from dev.processes import wait_until
from dev.stack import AirflowStack

DAG_ID = "waits"
MOST_A_RUN = 500
"""Maximum mapped tasks of one DAG run; more waits need more runs."""

TIMEOUT = 1200.0
"""Seconds that a wait may take."""

GENERATIONS = "/v1/images/generations"


class SharedWaits:
    """A number of generations, each with a task in a real Airflow that waits for it.

    :param stack: an Airflow on PostgreSQL with the DAG :data:`DAG_ID`, not paused.
    :param remote: the emulator that makes the generations.
    """

    def __init__(self, stack: AirflowStack, remote: Remote, count: int) -> None:
        self.count = count
        self._stack = stack
        self._remote = remote
        self._database = create_engine(stack.database_url)
        key = json.loads(remote.airflow_connection)["password"]
        self._service = httpx.Client(
            base_url=remote.base_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False
        )
        self._runs: list[str] = []
        self._generations: list[str] = []

    def __enter__(self) -> SharedWaits:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections to the database and the emulator."""
        self._service.close()
        self._database.dispose()

    def prepare(self) -> None:
        """Start the necessary DAG runs, wait until all their tasks are in the pool, and submit."""
        self._remote.reset()
        runs = [self._stack.api.trigger_run(DAG_ID) for _ in range(-(-self.count // MOST_A_RUN))]
        self._runs = [run.run_id for run in runs]
        wait_until(lambda: self.states().get("scheduled", 0) >= self.count, 300, runs[0].describe, 0.5)
        self._remote.configure(rate_limit="off")
        with ThreadPoolExecutor(8) as pool:
            self._generations = list(pool.map(self._submit, range(self.count)))
        self._remote.configure(rate_limit="default")

    def defer(self, conn_id: str, *, end_task: bool) -> None:
        """Let all tasks wait in the triggerers from now on, and either end there or return to their pool."""
        order = {
            "run_ids": self._runs,
            "generations": self._generations,
            "conn_id": conn_id,
            "end_task": end_task,
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(order, file)
            file.flush()
            self._stack.run_command("-m", "benchmarks.shared_waits", file.name, program=sys.executable)

    def states(self) -> dict[str, int]:
        """Return the number of tasks in each state."""
        query = "SELECT state, count(*) FROM task_instance WHERE run_id = ANY(:runs) GROUP BY 1"
        return dict(self._query(query, runs=self._runs))

    def held(self) -> dict[int, int]:
        """Return the number of triggers of each triggerer, by its job id."""
        return dict(self._query("SELECT triggerer_id, count(*) FROM trigger GROUP BY 1"))

    def newest_triggerer(self) -> int:
        """Return the job id of the triggerer that was started last, 0 if there was none."""
        newest = self._query("SELECT coalesce(max(id), 0) FROM job WHERE job_type = 'TriggererJob'")
        return int(newest[0][0])

    def lateness(self, *, end_task: bool) -> list[float]:
        """Return the lateness in seconds of each successful wait: its task is done, or may go on."""
        well = "state = 'success'" if end_task else "next_kwargs::text LIKE '%completed%'"
        ended = "end_date" if end_task else "scheduled_dttm"
        rows = self._query(
            f"SELECT {well}, extract(epoch FROM {ended}), extract(epoch FROM start_date) "
            "FROM task_instance WHERE run_id = ANY(:runs) ORDER BY run_id, map_index",
            runs=self._runs,
        )
        self._remote.configure(rate_limit="off")
        return [
            # The service reports whole seconds, which adds half a second on average.
            float(over) - max(self._completed_at(generation_id) + 0.5, float(deferred))
            for generation_id, (is_well, over, deferred) in zip(self._generations, rows, strict=True)
            if is_well
        ]

    def _submit(self, number: int) -> str:
        body = {"model": "gpt-image-2", "prompt": f"a picture, number {number}"}
        return str(self._service.post(GENERATIONS, json=body).raise_for_status().json()["id"])

    def _completed_at(self, generation_id: str) -> float:
        answer = self._service.get(f"{GENERATIONS}/{generation_id}").raise_for_status()
        return float(answer.json()["completed_at"])

    def _query(self, query: str, **values: Any) -> Sequence[Any]:
        with self._database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]


def defer_all(run_ids: list[str], generations: list[str], conn_id: str, *, end_task: bool) -> None:
    """Put every task of the runs into the state after its deferral, through Airflow's own models."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

    now = datetime.now(timezone.utc)
    with create_session() as session:
        tasks = session.query(TaskInstance).filter(TaskInstance.run_id.in_(run_ids))
        in_order = tasks.order_by(TaskInstance.run_id, TaskInstance.map_index).all()
        for task, generation_id in zip(in_order, generations, strict=True):
            path, arguments = GptImgGenerationTrigger(
                generation_id=generation_id,
                conn_id=conn_id,
                deadline=now.timestamp() + TIMEOUT,
                end_task=end_task,
            ).serialize()
            task.trigger = Trigger(classpath=path, kwargs=arguments)
            task.state = TaskInstanceState.DEFERRED
            task.start_date = now
            task.next_method, task.next_kwargs = "execute_complete", {}


if __name__ == "__main__":
    defer_all(**json.loads(Path(sys.argv[1]).read_text()))
