"""Who pays, case by case: the table that tests the decision, and that the documentation prints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from airflow_provider_gptimg.payment.decision import Action, Facts, Latest, Record, Store
from airflow_provider_gptimg.payment.receipt import Receipt

PAID = Receipt(generation_id="task_img_1", ordinal=1, submissions=1, submitted_at=1_790_000_000.0)
FOX, BEAR = "hash of the fox", "hash of the bear"
ID = "ti-1"

STORED = Facts(try_number=1, base=0, ti_id=ID, fingerprint=FOX, store=Store.READABLE, xcom_keys=frozenset())
"""Airflow 3.3: a task state store, and the keys of the XComs of the attempt before."""

UNSTORED = replace(STORED, store=Store.MISSING)
"""Airflow 3.0 to 3.2: the keys only."""

KEYLESS = replace(STORED, xcom_keys=None, is_forgetful=True)
"""Airflow 3.4: the store only, which a Clear may have emptied."""

BLIND = replace(UNSTORED, pushes_xcoms=False)
"""Airflow 3.0 to 3.2 with ``do_xcom_push=False``: nothing."""

RETRY = {"try_number": 2}
CLEAR = {"try_number": 2, "base": 1}
RETRY_AFTER_CLEAR = {"try_number": 3, "base": 1}
SECOND_CLEARED = {"try_number": 3, "base": 2}

UNFINISHED = Record(series="0", base=0, fingerprint=FOX, receipt=PAID, ti_id=ID)
GIVEN = replace(UNFINISHED, given_by=1)
LEFT_TO_TRIGGER = replace(UNFINISHED, ends_in_triggerer=True)
SECOND_BEGUN = Record(series="1", base=1, ti_id=ID)

SUBMITTED = frozenset({"gptimg_series_0", "generation_id"})
HANDED_ON = SUBMITTED | {"urls", "return_value"}


NO = "no, it goes on with what was paid"
LOOKS = "only if a look-up finds nothing"
YES = "yes"
ASKS = "no, unless the generation is completed"
UNGIVEN = "only if a look-up finds nothing, or what is completed and stored"
FAILS = "no, it fails"
ACTIONS = {YES: Action.SUBMIT, ASKS: Action.ASK, FAILS: Action.REFUSE}
"""What an attempt does; otherwise it attaches to what was paid for."""

STORE, KEYS, NOTHING = "task state store (3.3 and later)", "keys of XComs (3.0 to 3.2)", "nothing"
DISCARDED = "the service, after a Clear that discards the task state (3.4)"


@dataclass(frozen=True)
class Case:
    """One case.

    :param before: what happened before this attempt.
    :param known_by: by what that is known.
    :param pays: what it means for the bill.
    :param series: the series that the attempt belongs to.
    """

    before: str
    known_by: str
    facts: Facts
    pays: str
    series: str

    @property
    def action(self) -> Action:
        """What the attempt does."""
        return ACTIONS.get(self.pays, Action.ATTACH)

    @property
    def receipt(self) -> Receipt | None:
        """What the attempt knows of what was paid for."""
        return PAID if self.pays in (NO, ASKS) else None


def on(facts: Facts, *changes: dict[str, int], **more: object) -> Facts:
    """Return facts with some of them changed."""
    for change in changes:
        facts = replace(facts, **change)  # type: ignore[arg-type]
    return replace(facts, **more)  # type: ignore[arg-type]


RETRIED = "it failed or died; a retry"
CRASHED = "it died while it submitted; a retry"
HANDED = "it died after it had handed its images on; a retry"
CHANGED = "it failed; a retry with another prompt"
OWED = "it failed, was killed, ran or waited; a Clear"
OWED_CRASHED = "it died while it submitted; a Clear"
SUCCEEDED = "it succeeded; a Clear"
CONTINUED = "it succeeded; a Clear, `on_clear='continue'`"
SECOND_RETRY = "it succeeded, was cleared, then failed; a retry"
SECOND_CLEAR = "it succeeded, was cleared, then failed; a Clear"
TRIGGER_OWED = "it waited to end in its triggerer; a Clear"
TRIGGER_GAVE = "it ended in its triggerer; a Clear"
EACH_PAYS = "anything, `durable=False`"
UNREADABLE = "it was cleared, and the store cannot be read"

NOT_GIVEN, GAVE = Latest(series="0", is_given=False), Latest(series="0", is_given=True)
NOT_GIVEN_AGAIN = Latest(series="1", is_given=False)

SERIES_0, SERIES_1 = frozenset({"gptimg_series_0"}), frozenset({"gptimg_series_1"})

CASES = [
    Case("nothing", STORE, STORED, YES, "0"),
    Case("nothing", KEYS, UNSTORED, YES, "0"),
    Case("nothing", NOTHING, BLIND, YES, "0"),
    Case(RETRIED, STORE, on(STORED, RETRY, record=UNFINISHED), NO, "0"),
    Case(RETRIED, KEYS, on(UNSTORED, RETRY, xcom_keys=SUBMITTED), LOOKS, "0"),
    Case(RETRIED, NOTHING, on(BLIND, RETRY), LOOKS, "0"),
    Case(CRASHED, STORE, on(STORED, RETRY), LOOKS, "0"),
    Case(CRASHED, KEYS, on(UNSTORED, RETRY, xcom_keys=SERIES_0), LOOKS, "0"),
    Case(CRASHED, NOTHING, on(BLIND, RETRY), LOOKS, "0"),
    Case(HANDED, STORE, on(STORED, RETRY, record=GIVEN), NO, "0"),
    Case(HANDED, KEYS, on(UNSTORED, RETRY, xcom_keys=HANDED_ON), LOOKS, "0"),
    Case(HANDED, NOTHING, on(BLIND, RETRY), LOOKS, "0"),
    Case(CHANGED, STORE, on(STORED, RETRY, record=UNFINISHED, fingerprint=BEAR), LOOKS, "0"),
    Case(CHANGED, KEYS, on(UNSTORED, RETRY, xcom_keys=SUBMITTED, fingerprint=BEAR), LOOKS, "0"),
    Case(CHANGED, NOTHING, on(BLIND, RETRY, fingerprint=BEAR), LOOKS, "0"),
    Case(OWED, STORE, on(STORED, CLEAR, record=UNFINISHED, xcom_keys=SUBMITTED), NO, "0"),
    Case(OWED, KEYS, on(UNSTORED, CLEAR, xcom_keys=SUBMITTED), LOOKS, "0"),
    Case(OWED, NOTHING, on(BLIND, CLEAR), YES, "1"),
    Case(OWED, DISCARDED, on(KEYLESS, CLEAR, latest=NOT_GIVEN), UNGIVEN, "0"),
    Case(OWED_CRASHED, STORE, on(STORED, CLEAR), LOOKS, "0"),
    Case(OWED_CRASHED, KEYS, on(UNSTORED, CLEAR, xcom_keys=SERIES_0), LOOKS, "0"),
    Case(OWED_CRASHED, NOTHING, on(BLIND, CLEAR), YES, "1"),
    Case(OWED_CRASHED, DISCARDED, on(KEYLESS, CLEAR, latest=NOT_GIVEN), UNGIVEN, "0"),
    Case(TRIGGER_OWED, STORE, on(KEYLESS, CLEAR, record=LEFT_TO_TRIGGER), ASKS, "0"),
    Case(TRIGGER_OWED, KEYS, on(UNSTORED, CLEAR, xcom_keys=SUBMITTED), LOOKS, "0"),
    Case(TRIGGER_OWED, NOTHING, on(BLIND, CLEAR), YES, "1"),
    Case(TRIGGER_OWED, DISCARDED, on(KEYLESS, CLEAR, latest=NOT_GIVEN), UNGIVEN, "0"),
    Case(TRIGGER_GAVE, STORE, on(KEYLESS, CLEAR, record=LEFT_TO_TRIGGER, is_completed=True), YES, "1"),
    Case(TRIGGER_GAVE, KEYS, on(UNSTORED, CLEAR, xcom_keys=HANDED_ON), YES, "1"),
    Case(TRIGGER_GAVE, NOTHING, on(BLIND, CLEAR), YES, "1"),
    Case(TRIGGER_GAVE, DISCARDED, on(KEYLESS, CLEAR, latest=GAVE), YES, "1"),
    Case(SUCCEEDED, STORE, on(STORED, CLEAR, record=GIVEN, xcom_keys=HANDED_ON), YES, "1"),
    Case(SUCCEEDED, KEYS, on(UNSTORED, CLEAR, xcom_keys=HANDED_ON), YES, "1"),
    Case(SUCCEEDED, NOTHING, on(BLIND, CLEAR), YES, "1"),
    Case(SUCCEEDED, DISCARDED, on(KEYLESS, CLEAR, latest=GAVE), YES, "1"),
    Case(SECOND_RETRY, STORE, on(STORED, RETRY_AFTER_CLEAR, record=SECOND_BEGUN), LOOKS, "1"),
    Case(SECOND_RETRY, KEYS, on(UNSTORED, RETRY_AFTER_CLEAR, xcom_keys=SERIES_1), LOOKS, "1"),
    Case(SECOND_RETRY, NOTHING, on(BLIND, RETRY_AFTER_CLEAR), LOOKS, "1"),
    Case(SECOND_CLEAR, STORE, on(STORED, SECOND_CLEARED, record=SECOND_BEGUN), LOOKS, "1"),
    Case(SECOND_CLEAR, KEYS, on(UNSTORED, SECOND_CLEARED, xcom_keys=SERIES_1), LOOKS, "1"),
    Case(SECOND_CLEAR, NOTHING, on(BLIND, SECOND_CLEARED), YES, "2"),
    Case(SECOND_CLEAR, DISCARDED, on(KEYLESS, SECOND_CLEARED, latest=NOT_GIVEN_AGAIN), UNGIVEN, "1"),
    Case(CONTINUED, STORE, on(STORED, CLEAR, record=GIVEN, on_clear="continue"), NO, "0"),
    Case(CONTINUED, KEYS, on(UNSTORED, CLEAR, xcom_keys=HANDED_ON, on_clear="continue"), LOOKS, "0"),
    Case(CONTINUED, NOTHING, on(BLIND, CLEAR, on_clear="continue"), LOOKS, "0"),
    Case(CONTINUED, DISCARDED, on(KEYLESS, CLEAR, latest=GAVE, on_clear="continue"), LOOKS, "0"),
    Case(EACH_PAYS, STORE, on(STORED, RETRY, record=UNFINISHED, durable=False), YES, "ti-1/2"),
    Case(EACH_PAYS, KEYS, on(UNSTORED, RETRY, xcom_keys=SUBMITTED, durable=False), YES, "ti-1/2"),
    Case(EACH_PAYS, NOTHING, on(BLIND, RETRY, durable=False), YES, "ti-1/2"),
]
"""The cases of the documentation: each as each Airflow knows it."""

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- the table of cases begins: python -m tests.support.decision_cases -->", "<!-- and ends -->"


def table() -> str:
    """Return the table of the documentation: who pays after what, by what is known."""
    heads = ("before this attempt", STORE, KEYS, NOTHING, DISCARDED)
    rows: dict[str, dict[str, str]] = {}
    for case in CASES:
        rows.setdefault(case.before, {})[case.known_by] = case.pays
    lines = [heads, ("---",) * len(heads)]
    lines += [
        (before, *(cells.get(known, "as with a store") for known in heads[1:]))
        for before, cells in rows.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page_with_table() -> str:
    """Return the page of the documentation with the table of today in it."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), encoding="utf-8")
