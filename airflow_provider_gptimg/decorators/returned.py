"""Keeps what a decorated function returned, for later attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_gptimg.payment.memory import TaskStateStore

KEY = "gptimg_returned"
"""Key in the task state store (Airflow 3.3); its value is ``{"digest": …, "returned": …}``."""


class ReturnedRequests:
    """Keeps what a task instance's function returned. Failures are logged and never raised.

    :param store: the task state store, or None if this Airflow has none.
    :param log: a logger.
    """

    def __init__(self, store: TaskStateStore | None, log: Any) -> None:
        self._store = store
        self._log = log

    def recall(self, digest: str) -> Mapping[str, Any] | None:
        """Return what :meth:`keep` stored for the same identity, or None.

        :param digest: the identity's digest.
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
        """Store what the function returned. Call this before anything is paid."""
        if self._store is None:
            return
        try:
            self._store.set(KEY, {"digest": digest, "returned": dict(returned)})
        except Exception as error:  # noqa: BLE001 - likewise
            self._say("written", error)

    def forget(self) -> None:
        """Forget it, so that the next attempt asks the function again."""
        if self._store is None:
            return
        try:
            self._store.set(KEY, {})
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
