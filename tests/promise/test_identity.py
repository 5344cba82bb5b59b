"""Which attempts share what was paid for, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.request import BUSINESS_ID, GenerationRequest, ReferenceFile
from airflow_provider_gptimg.payment.identity import Attempt, Identity, Series, fingerprint
from airflow_provider_gptimg.payment.memory import Memory, Remembered
from airflow_provider_gptimg.payment.submission import Origin, Submission
from airflow_provider_gptimg.result import asked

REQUEST = GenerationRequest.checked("A fox")
ASKED = asked(REQUEST, submissions=1)
REMEMBERED = Remembered(
    base=0,
    series="0",
    clear_number=0,
    running=True,
    digest="d",
    generation_id="task_img_1",
    ordinal=1,
    submissions=1,
    submitted_at=1790000000.0,
)


def ti(try_number: int = 1, max_tries: int = 2, **changes: Any) -> Any:
    """A task instance's numbers, as Airflow 3.0.6 to 3.3.2 were seen to set them."""
    plain = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "id": f"id-{try_number}"}
    return SimpleNamespace(try_number=try_number, max_tries=max_tries, **{**plain, **changes})


def series(
    instance: Any, retries: int = 2, clear_number: int = 0, remembered: Remembered | None = None
) -> Series:
    return Series.of(instance, retries=retries, clear_number=clear_number, remembered=remembered)


def test_retries_share_a_series_and_only_the_first_is_fresh() -> None:
    attempts = [series(ti(try_number=n)) for n in (1, 2, 3)]
    assert [attempt.name for attempt in attempts] == ["0", "0", "0"]
    assert [attempt.is_fresh for attempt in attempts] == [True, False, False]


def test_a_clear_starts_a_series() -> None:
    """Airflow sets max_tries to try_number + retries at a Clear."""
    cleared = [series(ti(try_number=n, max_tries=3), clear_number=1) for n in (2, 3)]
    assert {attempt.name for attempt in cleared} == {"1"}
    assert [attempt.is_fresh for attempt in cleared] == [True, False]


@pytest.mark.parametrize(
    ("remembered", "clear_number", "expected"),
    [
        (REMEMBERED, 0, "0"),  # killed, and tried again
        (REMEMBERED, 1, "0+1"),  # cleared while it was running
        (replace(REMEMBERED, running=False), 1, "0"),  # failed by itself; another task was cleared
        (replace(REMEMBERED, series="0+1", clear_number=1), 1, "0+1"),  # a retry after that
        (replace(REMEMBERED, base=7), 1, "0"),  # remembered of another series
        (None, 1, "0"),  # nothing remembered, and a retry explains it
    ],
)
def test_a_clear_of_a_running_task(remembered: Remembered | None, clear_number: int, expected: str) -> None:
    assert series(ti(try_number=2), clear_number=clear_number, remembered=remembered).name == expected


@pytest.mark.parametrize(
    ("max_tries", "try_number", "clear_number", "expected"),
    [
        (0, 2, 0, "0"),  # the scheduler lost it and started it again
        (0, 2, 1, "0+1"),  # no retry explains it, and there was a Clear
        (1, 3, 1, "1"),  # that Clear is the one which base accounts for
        (1, 3, 2, "1+2"),
    ],
)
def test_more_attempts_than_retries_explain(
    max_tries: int, try_number: int, clear_number: int, expected: str
) -> None:
    instance = ti(try_number=try_number, max_tries=max_tries)
    assert series(instance, retries=0, clear_number=clear_number).name == expected
    # Where an attempt could have been remembered, one that is not has died before it paid, or just then.
    remembering = Series.of(
        instance, retries=0, clear_number=clear_number, remembered=None, can_remember=True
    )
    assert remembering.name == str(max_tries)


@pytest.mark.parametrize(
    "other",
    [
        {"instance": ti(dag_id="e")},
        {"instance": ti(run_id="s")},
        {"instance": ti(task_id="u")},
        {"instance": ti(map_index=0)},
        {"instance": ti(dag_id="d\0r", run_id="")},
        {"series": Series(1, "1", is_fresh=True)},
        {"request": GenerationRequest.checked("A fox", n=2)},
        {"request": GenerationRequest.checked("A fox", extra_body={"seed": 1})},
        {"conn_id": "other"},
    ],
)
def test_whatever_differs_makes_another_identity(other: dict[str, Any]) -> None:
    same = {"instance": ti(), "series": Series(0, "0", is_fresh=True), "request": REQUEST, "conn_id": "c"}

    def identity(parts: dict[str, Any]) -> Identity:
        made_of = fingerprint(parts["request"], parts["conn_id"])
        return Identity.of(parts["instance"], parts["series"], made_of)

    assert identity(same) == identity(dict(same))
    assert identity(same) != identity({**same, **other})


def test_business_ids_are_of_the_kind_that_careful_clients_use() -> None:
    import re

    first, second = (Identity.of_attempt(ti(), "f").business_id(ordinal) for ordinal in (1, 2))
    assert re.fullmatch(BUSINESS_ID, first)
    assert (first[-2:], second[-2:]) == ("-1", "-2")


class Store:
    """A task state store as Airflow 3.3 gives one, which may be told to fail."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        if self.fails:
            raise RuntimeError("the store is away")
        return self.kept.get(key)

    def set(self, key: str, value: Any) -> None:
        if self.fails:
            raise RuntimeError("the store is away")
        self.kept[key] = value


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str, *values: Any) -> None:
        self.said.append(text % values)

    warning = info


def submission() -> Submission:
    return Submission(
        generation=Generation(id="task_img_9"),
        client_business_id="af-x-1",
        ordinal=1,
        submissions=1,
        submitted_at=1790000000.0,
        origin=Origin.SUBMITTED,
    )


def attempt(
    store: Store | None,
    log: Log,
    *,
    clear_number: int = 0,
    reattach: bool = True,
    resumed: bool = False,
    **numbers: int,
) -> Attempt:
    context = {"ti": ti(**numbers), "dag_run": SimpleNamespace(clear_number=clear_number)}
    if store is not None:
        context["task_state_store"] = store
    return Attempt(
        context,
        log,
        retries=2,
        request=REQUEST,
        fingerprint=fingerprint(REQUEST, "c"),
        reattach=reattach,
        resumed=resumed,
    )


def test_a_retry_knows_what_was_submitted() -> None:
    store, log = Store(), Log()
    attempt(store, log).remember(submission(), ASKED)
    retry = attempt(store, log, try_number=2)
    assert retry.known is not None
    assert retry.known.generation_id == "task_img_9"
    assert not retry.is_fresh


@pytest.mark.parametrize("reattach", [True, False])
def test_an_attempt_that_was_deferred_looks_up_what_it_submitted(reattach: bool) -> None:
    first = attempt(None, Log(), reattach=reattach)
    resumed = attempt(None, Log(), reattach=reattach, resumed=True)
    assert (first.is_fresh, resumed.is_fresh) == (True, False)
    assert resumed.identity == first.identity


def context_of_the_server(*keys: str) -> Any:
    return SimpleNamespace(xcom_keys_to_clear=list(keys))


def test_a_retry_that_runs_under_the_number_of_the_first_attempt_is_not_fresh() -> None:
    """Seen on Airflow 3.3.2: a trigger died, and a busy scheduler had failed the task by then."""
    store, log = Store(), Log()
    first = attempt(store, log)
    first.remember(submission(), ASKED)
    again = attempt(store, log)
    assert (again.identity, again.is_fresh) == (first.identity, False)
    assert again.known is not None
    without_store = ti(_ti_context_from_server=context_of_the_server("generation_id"))
    assert not series(without_store).is_fresh
    assert series(ti(_ti_context_from_server=context_of_the_server())).is_fresh


def test_a_run_that_is_made_anew_under_its_name_is_fresh() -> None:
    store, log = Store(), Log()
    attempt(store, log).remember(submission(), ASKED)
    store.kept["gptimg"]["ti_id"] = "another"
    assert attempt(store, log).is_fresh


def test_what_was_pushed_before_a_clear_says_nothing() -> None:
    pushed = context_of_the_server("generation_id", "urls")
    assert series(ti(try_number=2, max_tries=3, _ti_context_from_server=pushed), clear_number=1).is_fresh


def test_without_reattach_every_attempt_is_another() -> None:
    attempts = [attempt(None, Log(), reattach=False, try_number=n) for n in (1, 2)]
    assert attempts[0].identity != attempts[1].identity
    assert [one.is_fresh for one in attempts] == [True, True]


def test_a_clear_of_a_running_task_is_not_forgotten_by_an_attempt_that_pays_nothing() -> None:
    store, log = Store(), Log()
    before = attempt(store, log)
    before.remember(submission(), ASKED)
    cleared = attempt(store, log, try_number=2, clear_number=1)
    assert (cleared.series.name, cleared.is_fresh, cleared.known) == ("0+1", True, None)
    again = attempt(store, log, try_number=2, clear_number=1)  # asked twice by one attempt
    assert (again.identity, again.is_fresh) == (cleared.identity, True)
    cleared.memory.amend(running=False)  # it failed before anything was paid
    retry = attempt(store, log, try_number=3, clear_number=1)
    assert (retry.series.name, retry.is_fresh, retry.known) == ("0+1", False, None)
    assert retry.identity == cleared.identity != before.identity
    with pytest.raises(ApiError, match="It is gone"):
        with_a_file_that_is_gone(store, log, try_number=3)


@pytest.mark.parametrize(
    ("store", "says"), [(None, "no task state store"), (Store(fails=True), "cannot be read (RuntimeError")]
)
def test_without_a_store_it_looks_up_and_says_so(store: Store | None, says: str) -> None:
    log = Log()
    attempt(store, log).remember(submission(), ASKED)
    retry = attempt(store, log, try_number=2)
    assert (retry.known, retry.is_fresh, retry.series.name) == (None, False, "0")
    assert says in " ".join(log.said)


def with_a_file_that_is_gone(store: Store | None, log: Log, **numbers: int) -> Attempt:
    gone = ReferenceFile("/gone.png", "", 0, "", bytes, problem=ApiError(Kind.REFERENCE, "It is gone."))
    request = GenerationRequest.checked("A fox", reference_images=[gone])
    context: dict[str, Any] = {"ti": ti(**numbers), "dag_run": SimpleNamespace(clear_number=0)}
    if store is not None:
        context["task_state_store"] = store
    made_of = fingerprint(request, "c")
    return Attempt(context, log, retries=2, request=request, fingerprint=made_of, reattach=True)


def test_a_retry_needs_no_file_for_what_is_paid() -> None:
    store, log = Store(), Log()
    first = attempt(store, log)
    first.remember(submission(), ASKED)
    retry = with_a_file_that_is_gone(store, log, try_number=2)
    assert retry.identity == first.identity
    assert retry.known is not None
    assert "It is gone. Going on with what an earlier attempt submitted." in log.said


@pytest.mark.parametrize(
    ("store", "numbers"),
    [
        (None, {"try_number": 2}),  # nothing can be remembered
        (Store(), {"try_number": 2}),  # nothing is
        (Store(), {"try_number": 1}),  # the first attempt
    ],
)
def test_a_file_that_is_gone_is_an_error_where_nothing_is_paid(
    store: Store | None, numbers: dict[str, int]
) -> None:
    with pytest.raises(ApiError, match="It is gone"):
        with_a_file_that_is_gone(store, Log(), **numbers)


def test_a_result_names_the_prompt_that_was_paid() -> None:
    store, log = Store(), Log()
    attempt(store, log).remember(submission(), ASKED)
    other = asked(GenerationRequest.checked("A bear"), submissions=1)
    assert attempt(store, log, try_number=2).remember(submission(), other)["prompt"] == "A fox"
    assert attempt(Store(), log, try_number=2).remember(submission(), other)["prompt"] == "A bear"


def test_garbage_in_the_store_is_no_memory() -> None:
    store, log = Store(), Log()
    store.kept["gptimg"] = {"written": "by somebody else"}
    assert Memory({"task_state_store": store}, log).recall() is None
    assert "cannot be read" in log.said[0]
