"""What an attempt leaves for the next one, and what that makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_gptimg.payment.attempt import Attempt
from airflow_provider_gptimg.payment.decision import Action, Decision, Store
from airflow_provider_gptimg.payment.memory import KEY, Memory, read_record
from airflow_provider_gptimg.payment.receipt import Receipt
from tests.support.airflow_model import VERSIONS, TaskModel, Version

OLDEST, WITH_STORE, NEWEST = VERSIONS
NOBODY_ASKED = {"is_completed": lambda receipt: True, "was_given": lambda identity: None}
RECEIPT = Receipt(generation_id="task_img_9", submitted_at=1790000000.0)


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str, *values: Any) -> None:
        self.said.append(text % values)

    warning = info


def begin(task: TaskModel, log: Log | None = None, **options: Any) -> tuple[Attempt, Decision]:
    """Run an attempt up to its decision."""
    log = log or Log()
    given = {"durable": True, "on_clear": "new", **NOBODY_ASKED, **options}
    attempt = Attempt.begin(task.start(), task.memory(log), log=log, **given)
    return attempt, attempt.decide("fox")


def pay(task: TaskModel, attempt: Attempt) -> None:
    attempt.remember(RECEIPT, fingerprint="fox", asked={"prompt": "A fox"})
    task.push("generation_id", RECEIPT.generation_id)


def give(task: TaskModel) -> None:
    task.memory(Log()).amend(given_by=task.try_number)
    task.push("return_value", "a result")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_life_of_retries_and_clears(version: Version) -> None:
    task = TaskModel(version, pushes_xcoms=True)
    attempt, decision = begin(task)
    assert decision.action is Action.SUBMIT
    pay(task, attempt)
    task.clear(running=False, keeps_state=True)  # it failed
    for _ in range(2):
        attempt, again = begin(task)
        assert again.action is Action.ATTACH
        assert attempt.identity(again).business_id(1).startswith("af-")
        assert again.series == decision.series
        pay(task, attempt)
    give(task)
    attempt, crashed = begin(task)  # Airflow did not hear of it
    assert crashed.series == decision.series
    pay(task, attempt)
    give(task)
    task.clear(running=False, keeps_state=True)
    attempt, anew = begin(task)
    assert (anew.action, anew.left_series) == (Action.SUBMIT, decision.series)
    task.clear(running=False, keeps_state=True)  # it died before it had paid, as far as it could say
    _, last = begin(task)
    assert (last.action, last.series) == (Action.ATTACH, anew.series)


def test_a_retry_knows_what_was_submitted() -> None:
    task = TaskModel(WITH_STORE, pushes_xcoms=True)
    pay(task, begin(task)[0])
    _, retry = begin(task)
    assert (retry.receipt, retry.asked) == (RECEIPT, {"prompt": "A fox"})


def test_each_attempt_pays_if_it_is_to() -> None:
    task = TaskModel(WITH_STORE, pushes_xcoms=True)
    decisions = [begin(task, durable=False)[1] for _ in range(2)]
    assert [decision.action for decision in decisions] == [Action.SUBMIT, Action.SUBMIT]
    assert decisions[0].series != decisions[1].series


@pytest.mark.parametrize("version", [OLDEST, WITH_STORE], ids=lambda version: version.name)
def test_without_a_store_it_looks_up_and_says_so(version: Version) -> None:
    task, log = TaskModel(version, pushes_xcoms=True), Log()
    task.store.fails = {"get", "set"}
    pay(task, begin(task, log)[0])
    _, retry = begin(task, log)
    assert (retry.action, retry.receipt, retry.series) == (Action.ATTACH, None, "0")
    assert "found by client_business_id only" in " ".join(log.said)


def test_a_clear_that_pays_names_what_it_leaves() -> None:
    task, log = TaskModel(OLDEST, pushes_xcoms=True), Log()
    attempt, decision = begin(task)
    left = attempt.identity(decision).business_id(1)
    pay(task, attempt)
    give(task)
    task.clear(running=False, keeps_state=True)
    begin(task, log)
    assert any(left in line for line in log.said)


def test_a_new_series_is_recorded_before_it_pays() -> None:
    task, log = TaskModel(NEWEST, pushes_xcoms=True), Log()
    pay(task, begin(task)[0])
    give(task)
    task.clear(running=False, keeps_state=True)
    task.store.fails = {"set"}
    _, decision = begin(task, log)
    assert decision.action is Action.REFUSE
    assert "Nothing was submitted" in decision.notes[0]
    task.store.fails = set()
    assert begin(task)[1].action is Action.ATTACH


@pytest.mark.parametrize(
    "garbage", [None, "text", {"written": "by somebody else"}, {"series": "0"}, {"series": 5, "base": 0}]
)
def test_garbage_in_the_store_is_no_record(garbage: Any) -> None:
    task = TaskModel(WITH_STORE, pushes_xcoms=True)
    task.store.kept[KEY] = garbage
    assert task.memory(Log()).recall() == (Store.READABLE, None)


def test_what_a_newer_version_stored_is_read() -> None:
    stored = {"series": "0", "base": 0, "receipt": {**RECEIPT.as_json(), "new": 1}, "newer": True}
    record = read_record(stored)
    assert record is not None
    assert record.receipt == RECEIPT


def test_an_xcom_that_cannot_be_pushed_is_said() -> None:
    def fails(key: str, value: Any) -> None:
        raise RuntimeError("no database")

    log = Log()
    Memory(None, fails, log).name_series("0")
    assert "gptimg_series_0 cannot be pushed (RuntimeError)" in log.said[0]


def test_after_a_clear_that_discards_the_task_state_the_service_is_asked() -> None:
    task, given = TaskModel(NEWEST, pushes_xcoms=True, retries=0), {}

    def begin_after_clear() -> tuple[Attempt, Decision]:
        task.clear(running=False)
        return begin(task, was_given=lambda identity: given.get(identity.digest))

    attempt, first = begin(task)
    given[attempt.identity(first).digest] = True
    attempt, second = begin_after_clear()
    assert (second.action, second.series) == (Action.SUBMIT, "1")
    given[attempt.identity(second).digest] = False  # it failed
    attempt, third = begin_after_clear()
    assert (third.action, third.series) == (Action.ATTACH, "1")
    given[attempt.identity(third).digest] = True
    _, fourth = begin_after_clear()
    assert (fourth.action, fourth.series) == (Action.SUBMIT, "3")
