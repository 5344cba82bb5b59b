"""Pipelines written in a test and run by Airflow's ``dag.test()`` against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.airflow_versions import error_of, serialize


class Pipeline:
    """A DAG under test: define tasks in :meth:`tasks`, then :meth:`run` it and look at what came out."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self.errors: list[BaseException] = []
        self._dag = DAG(
            name,
            schedule=None,
            default_args={
                "retries": 0,
                "on_failure_callback": lambda context: self.errors.append(error_of(context)),
            },
            **arguments,
        )
        self._run: Any = None

    @contextmanager
    def tasks(self) -> Iterator[DAG]:
        with self._dag:
            yield self._dag

    def run(self, **conf: Any) -> str:
        """Run it and return the state it ended in."""
        serialize(self._dag)
        self._run = self._dag.test(run_conf=conf or None)
        return str(self._run.state)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return what a task handed on."""
        return self._run.get_task_instance(task_id, map_index=map_index).xcom_pull(
            task_id, key=key, map_indexes=map_index
        )


def generate(**arguments: Any) -> GptImgGenerateOperator:
    """Return a task that makes an image of a fox."""
    return GptImgGenerateOperator(
        **{"task_id": "images", "prompt": "A fox", "poll_interval": 0.1, **arguments}
    )
