"""Who pays? The decision whether an attempt of a task pays, or goes on with what was paid.

The rule: you pay for an image once, until you have been given it. All attempts that serve one image are a
*series*. A series ends when its task succeeds, because then the image was given. Only a Clear after that
begins another series, which pays again.

:func:`decide` is the whole rule. It is pure: it reads no store and calls nobody. :class:`Facts` is what it
knows, :class:`Decision` is what it says. ``tests/promise/test_decision.py`` has the table of cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from airflow_provider_gptimg.payment.receipt import Receipt

FIRST_SERIES = "0"
"""The name of a task instance's first series. A later one is named by its ``base``, see :class:`Facts`."""

SERIES_KEY = "gptimg_series_"
"""Start of the key of an XCom that names the series of an attempt; the name follows."""

GENERATION_ID_KEY = "generation_id"
"""Key of the XCom with the generation's id, pushed at once after the submission."""

RESULT_KEY = "return_value"
"""Airflow's key of a task's result: an attempt that pushed it has given its images."""

MOST_CANDIDATES = 5
"""So many series are looked for: each that the service does not know costs some seconds of look-ups."""

OnClear = Literal["new", "continue"]
"""What a Clear of a task that succeeded means: a new image, or the same one again."""


class Store(Enum):
    """What came of reading the task state store (Airflow 3.3 and later)."""

    MISSING = "This Airflow has no task state store."
    UNREADABLE = "The task state store cannot be read."
    READABLE = "The task state store was read."


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an attempt left in the task state store.

    :param series: the series it belonged to.
    :param base: its ``base``, see :class:`Facts`.
    :param fingerprint: the hash of its request; None before there was a submission.
    :param receipt: what it paid for, or found paid; None before.
    :param asked: what its result repeats of the request.
    :param ends_in_triggerer: whether it was left to its trigger, which may have given its result unseen.
    :param given_by: the try number of the attempt that handed its result on; None if none has.
    :param ti_id: the id of the task instance in Airflow's database.
    :param cache_key: under which the images belong into the cache, by the request that was submitted.
    """

    series: str
    base: int
    fingerprint: str | None = None
    receipt: Receipt | None = None
    asked: Any = None
    ends_in_triggerer: bool = False
    given_by: int | None = None
    ti_id: str | None = None
    cache_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Latest:
    """What the service says of a task whose record was cleared with it.

    :param series: the latest series that it knows a generation of.
    :param is_given: whether that generation seems to have been given: it is completed, and stored if it was
        to be stored.
    """

    series: str
    is_given: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that decides who pays.

    What Airflow says of this attempt:

    :param try_number: its number, from 1.
    :param base: ``max_tries - retries``. Airflow leaves it alone over retries, and sets it to the number of
        attempts so far at a Clear. So it is 0 until the first Clear.
    :param retries: how many the task has.
    :param ti_id: the id of the task instance.
    :param resumed: whether this attempt was deferred before, so that it has submitted already.

    What the author of the DAG wants:

    :param durable: False lets every attempt pay.
    :param on_clear: what a Clear after success means.
    :param fingerprint: the hash of the request; None while it is not known, or if its files cannot be read.
    :param problem: why it cannot be known.

    What earlier attempts left:

    :param store: whether there is a task state store, and whether it can be read.
    :param record: what it holds.
    :param is_forgetful: whether a Clear may have emptied the store (3.4).
    :param latest: what the service says, if only the service can tell; None while nobody has asked.
    :param xcom_keys: keys of the XComs that the attempt before had pushed; None if Airflow does not tell.
    :param pushes_xcoms: ``do_xcom_push`` of the task.
    :param pushed_id: the generation that this attempt pushed before it was deferred.
    :param is_completed: whether the generation in the record is completed; None while nobody has asked.
    :param is_recorded: False if a new series could not be recorded, and a later attempt could not know of it.
    """

    try_number: int
    base: int
    retries: int = 0
    ti_id: str = ""
    resumed: bool = False
    durable: bool = True
    on_clear: OnClear = "new"
    fingerprint: str | None = None
    problem: str | None = None
    store: Store = Store.MISSING
    record: Record | None = None
    is_forgetful: bool = False
    latest: Latest | None = None
    xcom_keys: frozenset[str] | None = None
    pushes_xcoms: bool = True
    pushed_id: str | None = None
    is_completed: bool | None = None
    is_recorded: bool = True

    @property
    def is_first(self) -> bool:
        """Whether this is the first attempt of all, or the first one after a Clear."""
        return self.try_number == self.base + 1

    @property
    def own_record(self) -> Record | None:
        """The record, unless a deleted DAG run of the same name left it."""
        if self.try_number == 1 and self.record and self.record.ti_id != self.ti_id:
            return None
        return self.record

    @property
    def told_series(self) -> str | None:
        """The series of the attempt before, if its XComs say so: only the first one is not named by one."""
        keys = self.told_keys or frozenset()
        for key in keys:
            if key.startswith(SERIES_KEY):
                return key.removeprefix(SERIES_KEY)
        return FIRST_SERIES if GENERATION_ID_KEY in keys else None

    @property
    def told_keys(self) -> frozenset[str] | None:
        """The keys of the XComs of the attempt before, None if they say nothing about it."""
        return self.xcom_keys if self.pushes_xcoms else None


class Standing(Enum):
    """How an attempt stands to the one before it."""

    FIRST = "nothing came before it"
    SAME = "it belongs to the same series, which a retry never leaves"
    OWED = "the task was cleared, and its images had not been given yet"
    GIVEN = "the task was cleared after its images had been given"
    ASK = "the task was cleared; its trigger gave the images if the generation is completed"
    SEARCH = "the task was cleared, and its record with it; the service knows what became of its images"
    UNKNOWN = "the task was cleared; nothing tells whether its images had been given"
    UNREADABLE = "the task was cleared; only the store could tell, and it cannot be read now"
    ALONE = "it stands alone, as durable=False says"


class Action(Enum):
    """What an attempt does."""

    SUBMIT = "submit straight away: nothing can have been paid for"
    ATTACH = "look for what was paid first, and go on with it; submit only if there is nothing"
    ASK = "ask the service whether the generation of the receipt is completed, and decide again"
    SEARCH = "ask the service for the latest generation of the candidates, and decide again"
    REFUSE = "fail, and pay nothing"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an attempt is to do.

    :param series: the series that it belongs to.
    :param left_series: the series before it, if this one is new.
    :param candidates: names of the series that the attempt before can have belonged to, the latest first.
    :param fingerprint: the request that it serves; None if that is not known yet.
    :param receipt: what was paid for, as far as it is remembered.
    :param asked: what the result repeats of the request that was paid for, if it is remembered.
    :param notes: what the log must say, one sentence each; of a refusal, why.
    """

    action: Action
    series: str
    left_series: str | None = None
    candidates: tuple[str, ...] = ()
    fingerprint: str | None = None
    receipt: Receipt | None = None
    asked: Any = None
    notes: tuple[str, ...] = ()


def decide(facts: Facts) -> Decision:
    """Return what an attempt does: pay, go on with what was paid, or refuse."""
    standing = standing_of(facts)
    last = _last_series(facts)
    if standing is Standing.UNREADABLE or not facts.is_recorded:
        why = _UNRECORDED if standing is not Standing.UNREADABLE else _UNREADABLE
        return Decision(action=Action.REFUSE, series=last, notes=(why,))
    if standing is Standing.ASK:
        record = facts.own_record
        return Decision(action=Action.ASK, series=last, receipt=record.receipt if record else None)
    if standing is Standing.SEARCH:
        return Decision(action=Action.SEARCH, series=last, candidates=_candidates(facts))
    series = _series(facts, standing, last)
    is_new = series != last
    decision = Decision(
        action=Action.SUBMIT if _is_surely_unpaid(facts, standing, is_new=is_new) else Action.ATTACH,
        series=series,
        left_series=last if is_new and standing is not Standing.ALONE else None,
        fingerprint=facts.fingerprint,
        notes=_notes(facts, standing, is_new=is_new),
    )
    return _with_request(facts, _with_receipt(facts, decision))


def standing_of(facts: Facts) -> Standing:
    """Return how an attempt stands to the one before it."""
    if not facts.durable:
        return Standing.ALONE
    if facts.resumed:
        return Standing.SAME
    record = facts.own_record
    if not facts.is_first and facts.told_series is not None:
        return Standing.SAME  # the record may be older, if the attempt before could not write it
    if record:
        was_cleared = record.base != facts.base
    else:  # where a Clear may empty the store, the attempt after it may have died before it left a record
        was_cleared = facts.base != 0 and (facts.is_first or facts.is_forgetful)
    return _standing_after_a_clear(facts) if was_cleared else _standing_of_a_retry(facts)


def _standing_after_a_clear(facts: Facts) -> Standing:
    record, keys = facts.own_record, facts.told_keys
    if keys is not None and RESULT_KEY in keys:
        return Standing.GIVEN
    if record and record.given_by is not None:
        # Airflow heard of no success if a retry followed, or if the attempt left no result among its XComs.
        was_retried = record.given_by < facts.base
        is_lost = keys is not None and record.given_by == facts.try_number - 1
        return Standing.OWED if was_retried or is_lost else Standing.GIVEN
    if facts.store is Store.UNREADABLE and facts.told_series is None:
        return Standing.UNREADABLE
    return Standing.OWED if keys is not None else _standing_by_the_service(facts)


def _standing_by_the_service(facts: Facts) -> Standing:
    """Return how an attempt after a Clear stands where only the service, if any, can tell."""
    record = facts.own_record
    if record and record.ends_in_triggerer and facts.is_completed is not False:
        return Standing.GIVEN if facts.is_completed else Standing.ASK
    if record is None and facts.is_forgetful and facts.store is Store.READABLE:
        if facts.latest is None:
            return Standing.SEARCH
        is_own = facts.latest.series == str(facts.base)
        is_given = facts.latest.is_given and not is_own and not _has_failed_to_the_end(facts)
        return Standing.GIVEN if is_given else Standing.OWED
    return Standing.OWED if facts.store is Store.READABLE else Standing.UNKNOWN


def _has_failed_to_the_end(facts: Facts) -> bool:
    """Return whether a task with retries used up every try before the Clear. So it seems to have failed."""
    begun = int(facts.latest.series) if facts.latest else 0
    return facts.retries > 0 and (facts.base - begun) % (facts.retries + 1) == 0


def _standing_of_a_retry(facts: Facts) -> Standing:
    # Airflow can start a retry under the number of the first attempt (seen on 3.3.2).
    if facts.is_first and facts.own_record is None and not facts.told_keys:
        return Standing.FIRST
    is_nameless = facts.store is Store.UNREADABLE and facts.told_series is None and facts.base > 0
    return Standing.UNREADABLE if is_nameless else Standing.SAME


def _last_series(facts: Facts) -> str:
    """Return the name of the series of the attempt before."""
    # The XComs are of the attempt before. The record is older if that could not write into the store.
    if facts.told_series not in (None, FIRST_SERIES):
        return str(facts.told_series)
    if record := facts.own_record:
        return record.series
    if facts.latest:
        return facts.latest.series
    # After a Clear about which nothing is known, a retry belongs to the series that the Clear began.
    nothing_is_told = facts.store is Store.MISSING and facts.told_keys is None
    is_after_unknown = nothing_is_told and facts.base > 0 and not facts.is_first
    return str(facts.base) if is_after_unknown and facts.on_clear == "new" else FIRST_SERIES


def _candidates(facts: Facts) -> tuple[str, ...]:
    """Return the names of the series that the attempt before can have belonged to, the latest first."""
    latest = facts.base - 1 if facts.is_first else facts.base
    oldest = max(1, latest - MOST_CANDIDATES + 1)
    return (*(str(base) for base in range(latest, oldest - 1, -1)), FIRST_SERIES)


def _series(facts: Facts, standing: Standing, last: str) -> str:
    if standing is Standing.ALONE:
        return f"{facts.ti_id}/{facts.try_number}"
    if facts.on_clear == "new" and standing is Standing.UNKNOWN:
        return str(facts.base)
    if facts.on_clear == "new" and standing is Standing.GIVEN:
        # More than before, also if ``retries`` were changed in the DAG, which moves the base.
        return str(max(facts.base, int(last) + 1) if last.isdigit() else facts.base)
    return last


def _is_surely_unpaid(facts: Facts, standing: Standing, *, is_new: bool) -> bool:
    if standing is Standing.ALONE:
        return not facts.resumed
    return standing is Standing.FIRST or (is_new and facts.is_first)


def _with_receipt(facts: Facts, decision: Decision) -> Decision:
    """Return a decision with what is remembered of the same request, if anything is."""
    record = facts.own_record
    if record and record.receipt and record.series == decision.series:
        # A file that is gone, or lies on another worker, has no hash. What was paid for needs none.
        fingerprint = record.fingerprint if facts.problem else facts.fingerprint
        if fingerprint == record.fingerprint:
            return replace(decision, fingerprint=fingerprint, receipt=record.receipt, asked=record.asked)
    if facts.pushed_id is not None:
        return replace(decision, receipt=Receipt(generation_id=facts.pushed_id))
    return decision


def _with_request(facts: Facts, decision: Decision) -> Decision:
    if facts.problem is None:
        return decision
    if decision.fingerprint is None:
        return replace(decision, action=Action.REFUSE, notes=(facts.problem,))
    going_on = f"{facts.problem} Going on with what an earlier attempt submitted."
    return replace(decision, notes=(*decision.notes, going_on))


def _notes(facts: Facts, standing: Standing, *, is_new: bool) -> tuple[str, ...]:
    record, notes = facts.own_record, []
    left = record.receipt.generation_id if record and record.receipt else None
    if facts.store is not Store.READABLE and standing in (Standing.SAME, Standing.OWED, Standing.UNKNOWN):
        notes.append(f"{facts.store.value} Earlier attempts are found by client_business_id only.")
    if standing is Standing.UNKNOWN:
        notes.append(_UNKNOWN if is_new else _UNKNOWN_CONTINUED)
    if facts.latest:
        notes.append(_FORGOTTEN)
    if standing is Standing.GIVEN and is_new:
        named = f" Generation {left} is left as it is." if left else ""
        notes.append(
            f"The task succeeded before it was cleared, so it makes a new image and pays for it.{named}"
        )
    if left and not is_new and record and facts.fingerprint not in (None, record.fingerprint):
        notes.append(
            f"The request has changed since generation {left} was paid for, so that one is not used. Its "
            "images can still be had by its id."
        )
    return tuple(notes)


_UNKNOWN = (
    "Nothing tells whether the task had succeeded before it was cleared, so a new image is made and paid "
    "for. Airflow 3.3 and later can tell, and so can earlier ones with do_xcom_push=True."
)
_UNKNOWN_CONTINUED = (
    "Nothing tells whether the task had succeeded before it was cleared. It goes on with what was paid for, "
    "as on_clear='continue' says."
)
_FORGOTTEN = (
    "The Clear has discarded the task state, so the service was asked: a generation that is completed, and "
    "stored if it was to be stored, counts as given, unless every try was used up. A Clear that keeps the "
    "task state knows."
)
_UNRECORDED = (
    "Which image this attempt makes cannot be written into the task state store, and a later attempt would "
    "pay once more. Nothing was submitted. A retry tries again."
)
_UNREADABLE = (
    "The task was cleared, and the task state store cannot be read, so nothing tells what was paid for. "
    "Nothing was submitted. A retry reads the store again."
)
