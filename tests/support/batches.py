"""A batch's task, attempt by attempt, without a scheduler: tried, retried, cleared, deferred and resumed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from airflow_provider_gptimg.hooks.shared import schedules_for
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.airflow_versions import TaskDeferred

CONN_ID = "AIRFLOW_CONN_GPTIMG_DEFAULT"


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for what no other process of a test can be late with."""
    monkeypatch.setattr("airflow_provider_gptimg.triggers.base.HoldingTrigger.hold_back", 0.05)
    monkeypatch.setattr("airflow_provider_gptimg.batch.runner.LINGER", 0.5)
    monkeypatch.setattr("airflow_provider_gptimg.payment.submission.LOOK_UP_PAUSES", (0.0, 0.02, 0.02))
    schedules_for.cache_clear()  # what other tests have taught it


def connect(monkeypatch: pytest.MonkeyPatch, emulator: Any, **extra: Any) -> None:
    """Let the default connection lead to an emulator, by default at the highest rate."""
    connection = json.loads(emulator.airflow_connection)
    connection["extra"] = extra or {"rate_limit_group": "svip"}
    monkeypatch.setenv(CONN_ID, json.dumps(connection))


def animals(count: int, **special: str) -> list[str]:
    """Return prompts; ``_2="[fail]"`` adds to the one at place 2."""
    return [f"Animal {number} {special.get(f'_{number}', '')}".strip() for number in range(count)]


@dataclass
class BatchTask:
    """One task instance of a batch; every attempt is made of new objects, as in a new process.

    :param folder: the output path.
    :param states: what Airflow would have shown, attempt by attempt.
    """

    folder: Path
    arguments: dict[str, Any]
    retries: int = 1
    try_number: int = 0
    max_tries: int = 1
    run_id: str = "run"
    states: list[str] = field(default_factory=list)
    xcoms: dict[str, Any] = field(default_factory=dict)
    deferrals: list[Any] = field(default_factory=list)

    def attempt(self) -> Any:
        """Run the task's first or next attempt to its end, and return its result."""
        self.try_number += 1
        self.xcoms.clear()
        result = self._run("execute")
        self.states.append("success")
        return result

    def clear(self) -> None:
        """Clear the task, as Airflow's ``clear_task_instances`` does."""
        self.max_tries = self.try_number + self.retries

    def operator(self) -> GptImgBatchOperator:
        """Return the task as the DAG's file makes it anew in each process."""
        fixed = {"task_id": "images", "retries": self.retries, "poll_interval": 0.2}
        return GptImgBatchOperator(**{**fixed, "output_path": self.folder.as_uri(), **self.arguments})

    def _run(self, method: str, *given: Any) -> Any:
        ti = SimpleNamespace(
            id=f"{self.run_id}-{self.try_number}",
            dag_id="batch",
            run_id=self.run_id,
            task_id="images",
            map_index=-1,
            try_number=self.try_number,
            max_tries=self.max_tries,
            xcom_push=lambda key, value: self.xcoms.update({key: value}),
        )
        context = {"ti": ti}
        try:
            return getattr(self.operator(), method)(context, *given)
        except TaskDeferred as deferral:
            self.states.append("deferred")
            self.deferrals.append(deferral)
            return self._run("execute_complete", asyncio.run(self._event(deferral)))

    async def _event(self, deferral: TaskDeferred) -> Any:
        """Return the event of the trigger, which the triggerer makes anew from what is in the database."""
        path, arguments = deferral.trigger.serialize()
        again = type(deferral.trigger)(**json.loads(json.dumps(arguments)))
        assert again.serialize() == (path, arguments)
        async for event in again.run():
            return event.payload
        return None

    # -- what came of it ----------------------------------------------------------------------------

    def manifest(self) -> list[dict[str, Any]]:
        """Return the manifest's lines."""
        (path,) = self.folder.glob("*.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def pictures(self) -> list[Path]:
        """Return the images that lie in the folder, each whole."""
        found = sorted(self.folder.glob("*.png"))
        for path in found:
            with Image.open(path) as image:
                image.load()
        return found

    def journal(self) -> Path:
        """Return the folder of the latest journal."""
        (folder,) = (self.folder / ".gptimg").iterdir()
        return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def submissions(emulator: Any) -> list[dict[str, Any]]:
    """Return what the service was asked to make, and accepted."""
    rows: list[dict[str, Any]] = emulator.ledger()["submissions"]
    return rows


def check_paid_once(emulator: Any) -> None:
    """Check that no two submissions have one business id, and that ordinals rise only after a failure."""
    by_item: dict[str, list[tuple[int, str]]] = {}
    for row in submissions(emulator):
        _, digest, ordinal = row["client_business_id"].split("-")
        by_item.setdefault(digest, []).append((int(ordinal), row["status"]))
    for rows in by_item.values():
        assert Counter(ordinal for ordinal, _ in rows).most_common(1)[0][1] == 1
        assert [ordinal for ordinal, _ in sorted(rows)] == list(range(1, len(rows) + 1))
        assert all(status == "failed" for _, status in sorted(rows)[:-1])
