"""What a decorated function returned, kept for the processes and attempts that go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "gptimg_returned"
"""Key in the task state store (Airflow 3.3); its value is ``{"digest": …, "returned": …}``."""

_HERE: dict[Any, Mapping[str, Any]] = {}
"""By task instance: ``dag.test()`` drops what goes into a deferral, but resumes in the same process."""


class Answers:
    """Keeps what a task instance's function returned; every failure is logged, none is raised.

    :param context: the task's context.
    :param log: the task's logger.
    """

    def __init__(self, context: Mapping[str, Any], log: Any) -> None:
        self._store = context.get("task_state_store")
        self._id = context["ti"].id
        self._log = log

    @property
    def durable(self) -> bool:
        """Whether an answer outlasts this attempt."""
        return self._store is not None

    def here(self) -> Mapping[str, Any] | None:
        """Return what :meth:`keep_here` kept in this process."""
        return _HERE.get(self._id)

    def keep_here(self, returned: Mapping[str, Any]) -> None:
        """Keep what this attempt goes on with."""
        _HERE[self._id] = returned

    def recall(self, digest: str) -> Mapping[str, Any] | None:
        """Return what :meth:`keep` stored of the same identity, None where there is nothing.

        :param digest: the identity's, another one after a Clear.
        """
        if self._store is None:
            return None
        try:
            stored = self._store.get(KEY)
            return dict(stored["returned"]) if stored and stored["digest"] == digest else None
        except Exception as error:  # noqa: BLE001 - whatever a store of someone's own raises
            self._say("read", error)
            return None

    def keep(self, digest: str, returned: Mapping[str, Any]) -> None:
        """Store what the function returned, before anything is paid for it."""
        if self._store is None:
            return
        try:
            self._store.set(KEY, {"digest": digest, "returned": dict(returned)})
        except Exception as error:  # noqa: BLE001 - likewise
            self._say("written", error)

    def _say(self, done: str, error: Exception) -> None:
        self._log.warning(
            "The task state store cannot be %s (%s: %s): a retry calls the function again, and still finds "
            "what was paid for.",
            done,
            type(error).__name__,
            error,
        )
