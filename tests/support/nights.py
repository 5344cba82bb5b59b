"""Runs ("nights") of one task with a cache, attempt by attempt: the operator itself, over a model of Airflow.

Every attempt is made of new objects, as in a process of its own, and may die at any step.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_gptimg.api.client import SyncClient
from airflow_provider_gptimg.compat.imports import TRIGGER_FAIL
from airflow_provider_gptimg.compat.task_instance import NO_REGION
from airflow_provider_gptimg.decorators.operator import GptImgDecoratedOperator
from airflow_provider_gptimg.files import storage
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.payment.decision import Record
from airflow_provider_gptimg.payment.memory import KEY, read_record
from airflow_provider_gptimg.tasks import deferral
from tests.support.airflow_model import TaskModel, Version
from tests.support.airflow_versions import TaskDeferred
from tests.support.deaths import Death

MODEL, SIZE = "gpt-image-2.5-flare-vip", "256x256"
"""Small pictures, which are painted at once."""

RETRIES = 50
"""More than any story uses up: what the last try means to a Clear is told elsewhere."""


@dataclass(frozen=True)
class Wish:
    """A picture that somebody wants."""

    prompt: str
    n: int


@dataclass
class Night:
    """One run of the task.

    :param wishes: what it asks for: the first one; of a function, the next one at each call.
    :param is_function: whether it is a ``@task.gptimg``.
    :param output: where it stores, None for the cache alone.
    :param calls: how often its function was called.
    :param is_over: whether Airflow knows that it succeeded.
    """

    number: int
    version: Version
    cache: Path
    wishes: tuple[Wish, ...]
    is_function: bool
    output: Path | None
    is_deferred: bool
    death: Death
    calls: int = 0
    is_over: bool = False
    model: TaskModel = field(init=False)

    def __post_init__(self) -> None:
        step: Callable[[str], None] = lambda name: self.death.step()  # noqa: E731
        self.model = TaskModel(self.version, pushes_xcoms=True, retries=RETRIES, before=step)
        self._id = uuid.uuid4()
        self._deferred_with: Wish | None = None

    @property
    def wish(self) -> Wish:
        """What the latest attempt asked for, before it was deferred."""
        return self._deferred_with or self._wanted

    @property
    def next_wish(self) -> Wish:
        """What it asks for if its function is called again."""
        return self.wishes[self.calls % len(self.wishes)]

    @property
    def _wanted(self) -> Wish:
        return self.wishes[(max(self.calls, 1) - 1) % len(self.wishes)]

    @property
    def is_given(self) -> bool:
        """Whether anything tells a Clear that the images have been given."""
        if self.version.tells_keys:
            return "return_value" in self.model.xcoms
        return self._record is not None and self._record.given_by == self.model.try_number

    @property
    def remembered(self) -> str | None:
        """The generation that the task state store names."""
        receipt = self._record.receipt if self._record else None
        return receipt.generation_id if receipt else None

    @property
    def _record(self) -> Record | None:
        return read_record(self.model.store.kept.get(KEY))

    def clear(self, *, keeps_state: bool) -> None:
        self.model.clear(running=False, keeps_state=keeps_state)
        self.is_over = False

    def attempt(self, *, loses_trigger: bool = False) -> dict[str, Any]:
        """Run the next attempt until Airflow knows that it succeeded, and return its result."""
        context = self._context()
        self._deferred_with = None
        try:
            result = self._operator().execute(context)
        except TaskDeferred as deferred:
            self._deferred_with = self._wanted
            result = self._resumed(context, deferred, loses_trigger=loses_trigger)
        self.model.push("return_value", result)
        self.death.step()
        self.is_over = True
        return dict(result)

    def _resumed(self, context: Any, deferred: Any, *, loses_trigger: bool) -> Any:
        self.death.step()
        deferral._IN_PROCESS.clear()  # another process has nothing of this one
        if loses_trigger:
            return self._operator().resume_execution(TRIGGER_FAIL, {"error": "it died"}, context)
        event = asyncio.run(_event_of(deferred.trigger))
        kept = json.loads(json.dumps(deferred.kwargs))
        return self._operator().execute_complete(context, event=event, **kept)

    def _operator(self) -> GptImgGenerateOperator:
        """Return the task, as each process makes it of the DAG's file."""
        common: dict[str, Any] = {
            "task_id": "images",
            "retries": RETRIES,
            "model": MODEL,
            "size": SIZE,
            "poll_interval": 0.01,
            "deferrable": self.is_deferred,
            "cache_path": str(self.cache),
        }
        if self.output is not None:
            common |= {"output_path": self.output.as_uri(), "file_name": "picture-{index}.{format}"}
        with DAG("catalogue", schedule=None):
            if self.is_function:
                return GptImgDecoratedOperator(python_callable=self._function, **common)
            return GptImgGenerateOperator(prompt=self.wish.prompt, n=self.wish.n, **common)

    def _function(self) -> dict[str, Any]:
        self.calls += 1
        return {"prompt": self._wanted.prompt, "n": self._wanted.n}

    def _context(self) -> Any:
        facts = self.model.start()
        ti = SimpleNamespace(
            id=self._id if self.version.tells_keys else _new_id(),
            dag_id="catalogue",
            run_id=f"night-{self.number}",
            task_id="images",
            map_index=-1,
            try_number=facts.try_number,
            max_tries=self.model.max_tries,
            xcom_push=self.model.push,
            xcom_pull=lambda *, task_ids, key, map_indexes: self.model.xcoms.get(key),
            _ti_context_from_server=SimpleNamespace(xcom_keys_to_clear=sorted(facts.xcom_keys or ())),
        )
        if self.version.is_forgetful:
            ti.region_id, ti.region_index = NO_REGION, -1
        return {"ti": ti} | ({"task_state_store": self.model.store} if self.version.has_store else {})


async def _event_of(trigger: Any) -> Any:
    """Return the event of a trigger, which the triggerer makes of what is in the database."""
    _, arguments = trigger.serialize()
    async for event in type(trigger)(**json.loads(json.dumps(arguments))).run():
        return event.payload
    return None


def _new_id() -> uuid.UUID:
    """Return an id that begins with the time, as those of attempts on Airflow 3.4 do (UUID version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 1)


def make_mortal(monkeypatch: pytest.MonkeyPatch, death: Death) -> None:
    """Make a step of each request, and of all that is done with files that others can see."""

    def half_a_file(fs: Any, local: str, target: str) -> None:
        content = Path(local).read_bytes()
        with suppress(OSError):
            Path(target).write_bytes(content[: len(content) // 2])

    whole: Mapping[Any, tuple[str, ...]] = {
        SyncClient: ("_send",),
        Place: ("files", "read", "remove"),
        Path: ("replace",),
    }
    for owner, names in whole.items():
        for name in names:
            monkeypatch.setattr(owner, name, death.during(getattr(owner, name)))
    monkeypatch.setattr(LocalFileSystem, "put_file", death.during(LocalFileSystem.put_file, half_a_file))
    monkeypatch.setattr(storage, "fetch", death.during(storage.fetch))
