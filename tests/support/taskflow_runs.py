"""Running one of the TaskFlow DAGs in Airflow's ``dag.test()``, and what the service received."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.airflow_versions import serialize
from tests.support.dags import taskflow
from tests.support.service import CREATED, Answer, Script, scripted

URL = "https://files.example/0.png"
RUNNING = Answer({**CREATED, "status": "in_progress"})
COMPLETED = Answer({**CREATED, "status": "completed", "result": {"data": [{"url": URL}]}})


class Played:
    """A run of one of the DAGs, and what the service received."""

    def __init__(self, way: str, script: Script, monkeypatch: pytest.MonkeyPatch, **conf: Any) -> None:
        with scripted(script) as url:
            connection = {"conn_type": "gptimg", "host": url, "password": "sk-test"}
            monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(connection))
            serialize(taskflow.dags[way])
            self.run = taskflow.dags[way].test(run_conf=conf)
        self.sent = [json.loads(body) for method, *_, body in script.received if method == "POST"]

    def ti(self, task_id: str = "draw", map_index: int = -1) -> Any:
        return self.run.get_task_instance(task_id, map_index=map_index)

    def xcom(self, key: str = "return_value", task_id: str = "draw", map_index: int = -1) -> Any:
        return self.ti(task_id, map_index).xcom_pull(task_id, key=key, map_indexes=map_index)

    def rendered(self, task_id: str = "draw", map_index: int = -1) -> Any:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields

        return RenderedTaskInstanceFields.get_templated_fields(self.ti(task_id, map_index))


@contextmanager
def player(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Played]]:
    """Give what runs a DAG, and forget afterwards what was called."""

    def play(way: str, script: Script | None = None, **conf: Any) -> Played:
        return Played(way, script or Script(status=[COMPLETED]), monkeypatch, **conf)

    yield play
    for record in (taskflow.calls, taskflow.failures, taskflow.before_retry):
        record.clear()
