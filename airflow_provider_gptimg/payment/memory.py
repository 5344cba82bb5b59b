"""What an attempt leaves for the next one: a record in the task state store, and the names of XComs.

Airflow 3.3 and later have a task state store, which outlives retries and Clears (a Clear on 3.4 may empty
it). It saves look-ups, but nothing relies on it alone: without it, the service is asked by
``client_business_id``. Before 3.3 an attempt learns the keys of the XComs that the previous attempt pushed,
so the key of one XCom names the series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Protocol

from airflow_provider_gptimg.payment.decision import SERIES_KEY, Record, Store
from airflow_provider_gptimg.payment.receipt import Receipt

KEY = "gptimg"
"""The store's key; its value is a :class:`~airflow_provider_gptimg.payment.decision.Record` as JSON."""


class TaskStateStore(Protocol):
    """The part of Airflow's task state store that we use."""

    def get(self, key: str) -> Any:
        """Return a value, None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""


class Memory:
    """A task instance's memory. Its failures are logged, never raised.

    :param store: the task state store; None if this Airflow has none.
    :param push_xcom: pushes an XCom of this attempt; None if the task pushes none.
    :param log: a logger.
    """

    def __init__(
        self, store: TaskStateStore | None, push_xcom: Callable[[str, Any], None] | None, log: Any
    ) -> None:
        self._store = store
        self._push_xcom = push_xcom
        self._log = log

    def recall(self) -> tuple[Store, Record | None]:
        """Return whether the store can be read, and its record. Other content is ignored."""
        if self._store is None:
            return Store.MISSING, None
        try:
            stored = self._store.get(KEY)
        except Exception as error:  # noqa: BLE001 - a custom store may raise anything
            self._log.warning("The task state store cannot be read (%s: %s).", type(error).__name__, error)
            return Store.UNREADABLE, None
        return Store.READABLE, read_record(stored)

    def keep(self, record: Record) -> bool:
        """Store a record, and return whether that worked."""
        if self._store is None:
            return False
        try:
            self._store.set(KEY, asdict(record))
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.warning(
                "The task state store cannot be written (%s: %s). A retry finds what was paid for by its "
                "client_business_id.",
                type(error).__name__,
                error,
            )
            return False
        return True

    def amend(self, **changes: Any) -> None:
        """Change the stored record. Without a record, do nothing."""
        _, record = self.recall()
        if record is not None:
            self.keep(replace(record, **changes))

    def name_series(self, series: str) -> None:
        """Push an XCom whose key names the series."""
        if self._push_xcom is None:
            return
        try:
            self._push_xcom(f"{SERIES_KEY}{series}", True)
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.warning(
                "The XCom %s%s cannot be pushed (%s). After a Clear, a new image may be paid for.",
                SERIES_KEY,
                series,
                type(error).__name__,
            )


def read_record(stored: object) -> Record | None:
    """Return a stored record; None if it is not one. Unknown keys are ignored."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("series"), str):
        return None
    known = {field.name: stored[field.name] for field in fields(Record) if field.name in stored}
    known["receipt"] = Receipt.read(stored.get("receipt"))
    try:
        return Record(**known)
    except TypeError:
        return None
