"""Running one of the story DAGs in Airflow's ``dag.test()``, and how that ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.airflow_versions import serialize
from tests.support.dags import stories
from tests.support.service import Script, scripted


@dataclass
class Ending:
    """How a task ended."""

    state: str
    result: Any
    urls: Any
    error: BaseException | None


def run(way: str, script: Script, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> Ending:
    """Run a story DAG against a scripted service; ``extra`` goes into the connection's extra."""
    stories.failures.clear()
    with scripted(script) as url:
        connection = {"conn_type": "gptimg", "host": url, "password": "sk-test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(connection))
        serialize(stories.dags[way])
        ti = stories.dags[way].test().get_task_instance("images")
    return Ending(
        state=ti.state,
        result=ti.xcom_pull("images"),
        urls=ti.xcom_pull("images", key="urls"),
        error=stories.failures[0] if stories.failures else None,
    )
