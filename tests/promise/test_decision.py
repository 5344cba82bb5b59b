"""Who pays: the decision, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_gptimg.payment.decision import Action, Decision, Facts, Latest, Record, Store, decide
from tests.support import decision_cases as cases
from tests.support.decision_cases import CASES, Case, on


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.before} - {case.known_by}")
def test_who_pays(case: Case) -> None:
    decision = decide(case.facts)
    assert (decision.action, decision.series) == (case.action, case.series)
    assert decision.receipt == case.receipt


@pytest.mark.parametrize(
    ("facts", "series"),
    [
        # Airflow starts a retry under the number of the first attempt, if a trigger dies at a bad moment.
        (on(cases.STORED, record=cases.UNFINISHED), "0"),
        (on(cases.UNSTORED, xcom_keys=cases.SUBMITTED), "0"),
        (on(cases.KEYLESS, xcom_keys=cases.SUBMITTED), "0"),
        # The same after a Clear.
        (on(cases.STORED, cases.CLEAR, record=cases.SECOND_BEGUN), "1"),
        # The store was emptied, or could not be written.
        (on(cases.STORED, cases.RETRY), "0"),
        (on(cases.STORED, cases.RETRY_AFTER_CLEAR, xcom_keys=cases.SERIES_1), "1"),
        (on(cases.STORED, cases.RETRY_AFTER_CLEAR, xcom_keys=cases.SUBMITTED), "0"),
        # The store cannot be read, which never means that nothing was paid for.
        (on(cases.KEYLESS, cases.RETRY, store=Store.UNREADABLE), "0"),
        (on(cases.STORED, cases.CLEAR, store=Store.UNREADABLE, xcom_keys=cases.SUBMITTED), "0"),
        # ``retries`` were changed in the DAG, which moves the base.
        (on(cases.STORED, try_number=2, base=-1, record=cases.UNFINISHED), "0"),
        (on(cases.UNSTORED, try_number=2, base=-1), "0"),
        (on(cases.UNSTORED, try_number=2, base=1, xcom_keys=cases.SUBMITTED), "0"),
        # The attempt that handed its images on left none of them in XCom: nobody was given them.
        (on(cases.STORED, cases.CLEAR, record=cases.GIVEN, xcom_keys=cases.SUBMITTED), "0"),
        # It was deferred, and its trigger took along what it knew.
        (on(cases.UNSTORED, resumed=True), "0"),
        (on(cases.UNSTORED, cases.CLEAR, resumed=True, xcom_keys=cases.SERIES_0), "0"),
    ],
)
def test_nothing_is_paid_without_a_look(facts: Facts, series: str) -> None:
    decision = decide(facts)
    assert (decision.action, decision.series) == (Action.ATTACH, series)


@pytest.mark.parametrize("numbers", [cases.CLEAR, cases.RETRY_AFTER_CLEAR])
def test_it_fails_if_only_an_unreadable_store_could_tell(numbers: dict[str, int]) -> None:
    decision = decide(on(cases.KEYLESS, numbers, store=Store.UNREADABLE))
    assert decision.action is Action.REFUSE
    assert "A retry reads the store again" in decision.notes[0]


def test_only_the_service_can_tell_after_a_clear_that_discards_the_task_state() -> None:
    first = decide(on(cases.KEYLESS, cases.CLEAR))
    assert (first.action, first.candidates) == (Action.SEARCH, ("0",))
    third = decide(on(cases.KEYLESS, try_number=4, base=3))
    assert (third.action, third.candidates) == (Action.SEARCH, ("2", "1", "0"))
    many = decide(on(cases.KEYLESS, try_number=100, base=99))
    assert many.candidates == ("98", "97", "96", "95", "94", "0")
    # The store of Airflow 3.3 outlives a Clear: no record there means that nothing was given.
    remembering = replace(cases.KEYLESS, is_forgetful=False)
    assert decide(on(remembering, cases.CLEAR)).action is Action.ATTACH


@pytest.mark.parametrize(
    ("base", "series", "is_new"), [(1, "0", True), (3, "0", False), (4, "0", True), (4, "1", False)]
)
def test_a_task_that_used_up_its_tries_seems_to_have_failed(base: int, series: str, is_new: bool) -> None:
    latest = Latest(series=series, is_given=True)
    cleared = decide(on(cases.KEYLESS, try_number=base + 1, base=base, retries=2, latest=latest))
    assert cleared.series == (str(base) if is_new else series)


def test_the_log_says_that_the_service_was_asked() -> None:
    decision = decide(on(cases.KEYLESS, cases.CLEAR, latest=cases.GAVE))
    assert "The Clear has discarded the task state" in decision.notes[0]
    assert "makes a new image" in decision.notes[1]


def test_a_deleted_run_of_the_same_name_is_another() -> None:
    stranger = replace(cases.UNFINISHED, ti_id="another")
    assert decide(on(cases.STORED, record=stranger)).action is Action.SUBMIT
    # From 3.4 on every try has its own id, so only the first attempt can tell.
    assert decide(on(cases.KEYLESS, cases.CLEAR, record=stranger)).receipt == cases.PAID


def test_after_many_clears_a_series_has_a_name_of_its_own() -> None:
    record = replace(cases.GIVEN, series="5", base=5, given_by=6)
    assert decide(on(cases.KEYLESS, try_number=7, base=3, record=record)).series == "6"


def test_a_series_that_goes_on_after_a_clear_keeps_its_name() -> None:
    owed = replace(cases.UNFINISHED, series="1", base=1)
    for numbers in ({"try_number": 4, "base": 3}, {"try_number": 5, "base": 3}, {"try_number": 6, "base": 5}):
        assert decide(on(cases.STORED, numbers, record=owed)).series == "1"


def gone(record: Record | None, **more: object) -> Decision:
    return decide(
        on(cases.STORED, cases.RETRY, record=record, fingerprint=None, problem="It is gone.", **more)
    )


def test_a_file_that_is_gone_is_not_needed_for_what_is_paid() -> None:
    decision = gone(cases.UNFINISHED)
    assert (decision.action, decision.receipt) == (Action.ATTACH, cases.PAID)
    assert decision.fingerprint == cases.FOX
    assert decision.notes == ("It is gone. The task continues with the generation of an earlier attempt.",)


@pytest.mark.parametrize(
    "decision", [gone(None), gone(cases.UNFINISHED, durable=False), gone(cases.SECOND_BEGUN)]
)
def test_a_file_that_is_gone_is_an_error_if_nothing_is_paid(decision: Decision) -> None:
    assert (decision.action, decision.notes) == (Action.REFUSE, ("It is gone.",))


def test_what_is_remembered_of_the_paid_request_goes_into_the_result() -> None:
    record = replace(cases.UNFINISHED, asked={"prompt": "A fox"})
    assert decide(on(cases.STORED, cases.RETRY, record=record)).asked == {"prompt": "A fox"}
    assert decide(on(cases.STORED, cases.RETRY, record=record, fingerprint=cases.BEAR)).asked is None


def test_the_log_says_what_is_left_behind() -> None:
    cleared = decide(on(cases.STORED, cases.CLEAR, record=cases.GIVEN, xcom_keys=cases.HANDED_ON))
    assert cleared.left_series == "0"
    assert "succeeded before it was cleared" in cleared.notes[0]
    assert f"Generation {cases.PAID.generation_id} stays as it is" in cleared.notes[0]
    changed = decide(on(cases.STORED, cases.RETRY, record=cases.UNFINISHED, fingerprint=cases.BEAR))
    assert f"since generation {cases.PAID.generation_id} was paid for" in changed.notes[0]
    unknown = decide(on(cases.BLIND, cases.CLEAR))
    assert "It is unknown whether the task had succeeded" in unknown.notes[-1]
    assert decide(cases.STORED).notes == decide(cases.BLIND).notes == ()
