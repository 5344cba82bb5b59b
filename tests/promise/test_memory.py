"""What an attempt that is ended can still say, and what the next one makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from test_identity import ASKED, REQUEST, Log, Store, submission, ti

from airflow_provider_gptimg.payment.identity import Attempt, fingerprint
from airflow_provider_gptimg.payment.memory import STOPPED, Memory


class Instance(SimpleNamespace):
    """A task instance that takes XComs."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = {key: value}


def attempt(store: Store, clear_number: int = 0, keys: list[str] | None = None, **numbers: int) -> Attempt:
    server = SimpleNamespace(xcom_keys_to_clear=keys)
    instance = Instance(**vars(ti(**numbers)), _ti_context_from_server=server, pushed={})
    context = {
        "ti": instance,
        "dag_run": SimpleNamespace(clear_number=clear_number),
        "task_state_store": store,
    }
    return Attempt(
        context, Log(), retries=2, request=REQUEST, fingerprint=fingerprint(REQUEST, "c"), reattach=True
    )


@pytest.mark.parametrize(
    ("keys", "clear_number", "series"),
    [
        ([STOPPED], 1, "0+1"),  # it was cleared
        ([], 1, "0"),  # it crashed, and another task was cleared
        ([STOPPED], 0, "0"),  # it was stopped, and nothing was cleared
        (None, 1, "0+1"),  # an Airflow that does not tell
    ],
)
def test_only_a_stopped_attempt_was_cleared(keys: list[str] | None, clear_number: int, series: str) -> None:
    store = Store()
    attempt(store).remember(submission(), ASKED)
    retry = attempt(store, clear_number, keys, try_number=2)
    assert retry.series.name == series
    assert (retry.known is None) == (series != "0")


def test_an_attempt_that_is_cleared_leaves_an_xcom() -> None:
    store, instance = Store(), Instance(pushed={})
    memory = Memory({"task_state_store": store, "ti": instance}, Log())
    memory.remember(submission(), base=0, series="0", clear_number=0, digest="d", asked=ASKED)
    store.fails = True
    memory.stop()
    assert instance.pushed == {STOPPED: True}


def test_an_attempt_that_is_stopped_otherwise_is_no_longer_at_work() -> None:
    store, instance = Store(), Instance(pushed={})
    memory = Memory({"task_state_store": store, "ti": instance}, Log())
    memory.remember(submission(), base=0, series="0", clear_number=0, digest="d", asked=ASKED)
    memory.stop()
    assert instance.pushed == {}
    assert store.kept["gptimg"]["running"] is False


def test_an_attempt_that_has_not_submitted_leaves_nothing() -> None:
    store, instance = Store(), Instance(pushed={})
    Memory({"task_state_store": store, "ti": instance}, Log()).stop()
    Memory({"ti": instance}, Log()).stop()
    assert (instance.pushed, store.kept) == ({}, {})
