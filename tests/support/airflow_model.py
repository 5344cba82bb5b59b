"""What each Airflow tells an attempt of a task and keeps for the next one, as it was seen to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_gptimg.payment.attempt import TaskFacts
from airflow_provider_gptimg.payment.memory import Memory


@dataclass(frozen=True)
class Version:
    """An Airflow.

    :param has_store: whether it has a task state store (3.3 and later).
    :param tells_keys: whether it tells the keys of the XComs of the attempt before (3.0 to 3.3).
    :param counts_every_clear: whether a Clear of a running task changes ``max_tries`` (3.4).
    :param is_forgetful: whether a Clear empties the task state store, unless it is asked not to (3.4).
    """

    name: str
    has_store: bool
    tells_keys: bool
    counts_every_clear: bool
    is_forgetful: bool = False


VERSIONS = (
    Version("3.0 to 3.2", has_store=False, tells_keys=True, counts_every_clear=False),
    Version("3.3", has_store=True, tells_keys=True, counts_every_clear=False),
    Version("3.4", has_store=True, tells_keys=False, counts_every_clear=True, is_forgetful=True),
)


class Store:
    """A task state store, which may fail.

    :param before: called before each use, with its name.
    """

    def __init__(self, before: Callable[[str], None]) -> None:
        self.kept: dict[str, Any] = {}
        self.fails: set[str] = set()
        self._before = before

    def get(self, key: str) -> Any:
        self._check("get")
        return self.kept.get(key)

    def set(self, key: str, value: Any) -> None:
        self._check("set")
        self.kept[key] = value

    def _check(self, use: str) -> None:
        self._before(f"store.{use}")
        if use in self.fails:
            raise RuntimeError("the store is away")


@dataclass
class TaskModel:
    """A task instance over its attempts.

    :param before: called before each store access and each push, so that a worker can die there.
    """

    version: Version
    pushes_xcoms: bool
    retries: int = 2
    before: Callable[[str], None] = lambda name: None
    try_number: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.max_tries = self.retries
        self.store = Store(self.before)

    def clear(self, *, running: bool, keeps_state: bool = False) -> None:
        """Clear the task, as ``clear_task_instances`` does."""
        if self.version.is_forgetful and not keeps_state:
            self.store.kept.clear()
        if not running or self.version.counts_every_clear:
            self.max_tries = self.try_number + self.retries

    def start(self) -> TaskFacts:
        """Begin the next attempt."""
        self.try_number += 1
        keys = frozenset(self.xcoms) if self.version.tells_keys else None
        self.xcoms = {}
        return TaskFacts(
            place=("dag", "run", "task", "-1"),
            try_number=self.try_number,
            base=self.max_tries - self.retries,
            retries=self.retries,
            ti_id="id" if self.version.tells_keys else f"id-{self.try_number}",
            is_forgetful=self.version.is_forgetful,
            xcom_keys=keys,
            pushes_xcoms=self.pushes_xcoms,
        )

    def push(self, key: str, value: Any) -> None:
        """Push an XCom of the running attempt, unless the task pushes none."""
        if self.pushes_xcoms:
            self.before("push")
            self.xcoms[key] = value

    def memory(self, log: Any) -> Memory:
        """Return what an attempt remembers by."""
        store = self.store if self.version.has_store else None
        return Memory(store, self.push if self.pushes_xcoms else None, log)
