"""Who pays? This module decides whether an attempt of a task pays or goes on with what was paid.

The rule: you pay for an image once, until you have been given it. All attempts that serve one image are a
*series*. A series ends when its task succeeds, because the image has then been given. Only a Clear after
that begins another series, which pays again.

:func:`decide` is the whole rule. It is pure: it reads no store and calls no service. It takes :class:`Facts`
and returns a :class:`Decision`. ``tests/promise/test_decision.py`` tests it with a table of cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from airflow_provider_gptimg.payment.receipt import Receipt

FIRST_SERIES = "0"
"""The name of a task instance's first series. Later ones have their ``base`` as name, see :class:`Facts`."""

SERIES_KEY = "gptimg_series_"
"""Prefix of the key of the XCom that names an attempt's series. The name of the series follows it."""

GENERATION_ID_KEY = "generation_id"
"""Key of the XCom with the generation's id, pushed right after the submission."""

RESULT_KEY = "return_value"
"""Airflow's key for a task's result. An attempt that pushed it has given its images."""

MOST_CANDIDATES = 5
"""Most series to look for, besides the first. Each unknown one costs some seconds of look-ups."""

OnClear = Literal["new", "continue"]
"""What a Clear means after the task succeeded: make a new image, or return the same one again."""


class Store(Enum):
    """The outcome of reading the task state store (Airflow 3.3 and later)."""

    MISSING = "This Airflow has no task state store."
    UNREADABLE = "The task state store cannot be read."
    READABLE = "The task state store was read."


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an attempt left in the task state store.

    :param series: the series that the attempt belonged to.
    :param base: its ``base``, see :class:`Facts`.
    :param fingerprint: the hash of its request; None before the submission.
    :param receipt: what it paid for, or found already paid; None before that.
    :param asked: the parts of the request that its result repeats.
    :param ends_in_triggerer: whether its trigger was to end it, and so may have given the result unseen.
    :param given_by: the try number of the attempt that handed on the result; None if no attempt has.
    :param ti_id: the id of the task instance in Airflow's database.
    :param cache_key: the images' key in the cache, made from the request that was submitted.
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
    """What the service says about a task whose record was discarded by a Clear.

    :param series: the latest series for which the service knows a generation.
    :param is_given: whether that generation seems to have been given: it is completed, and its images are
        stored if they should be.
    """

    series: str
    is_given: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that the decision depends on.

    What Airflow says about this attempt:

    :param try_number: its number, from 1.
    :param base: ``max_tries - retries``. A retry does not change it. A Clear sets it to the number of
        attempts so far, so it is 0 until the first Clear.
    :param retries: the task's number of retries.
    :param ti_id: the id of the task instance.
    :param resumed: whether this attempt was deferred before, and so has already submitted.

    What the DAG's author wants:

    :param durable: False lets every attempt pay.
    :param on_clear: what a Clear after success means.
    :param fingerprint: the hash of the request; None if it is not known yet, or its files cannot be read.
    :param problem: why its files cannot be read.

    What earlier attempts left:

    :param store: whether there is a task state store, and whether it can be read.
    :param record: the record in it.
    :param is_forgetful: whether a Clear may have emptied the store (Airflow 3.4).
    :param latest: what the service says, if only the service can tell; None until it is asked.
    :param xcom_keys: keys of the XComs that the previous attempt pushed; None if Airflow does not say.
    :param pushes_xcoms: the task's ``do_xcom_push``.
    :param pushed_id: the generation that this attempt pushed before it was deferred.
    :param is_completed: whether the generation in the record is completed; None until the service is asked.
    :param is_recorded: False if a new series could not be recorded, so that later attempts would not know it.
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
        """Whether this is the very first attempt, or the first one after a Clear."""
        return self.try_number == self.base + 1

    @property
    def own_record(self) -> Record | None:
        """The record, unless it was left by a deleted DAG run of the same name."""
        if self.try_number == 1 and self.record and self.record.ti_id != self.ti_id:
            return None
        return self.record

    @property
    def told_series(self) -> str | None:
        """The series of the previous attempt, if its XComs tell. Every series but the first has an XCom."""
        keys = self.told_keys or frozenset()
        for key in keys:
            if key.startswith(SERIES_KEY):
                return key.removeprefix(SERIES_KEY)
        return FIRST_SERIES if GENERATION_ID_KEY in keys else None

    @property
    def told_keys(self) -> frozenset[str] | None:
        """The keys of the previous attempt's XComs; None if Airflow does not say, or the task pushes none."""
        return self.xcom_keys if self.pushes_xcoms else None


class Standing(Enum):
    """How an attempt relates to the previous one."""

    FIRST = "nothing came before it"
    SAME = "it belongs to the same series, which a retry never leaves"
    OWED = "the task was cleared, and its images had not been given yet"
    GIVEN = "the task was cleared after its images had been given"
    ASK = "the task was cleared; its trigger gave the images if the generation is completed"
    SEARCH = "the task was cleared, and its record with it; the service knows what became of its images"
    UNKNOWN = "the task was cleared; it is unknown whether its images had been given"
    UNREADABLE = "the task was cleared; only the store could tell, and it cannot be read now"
    ALONE = "it stands alone, because durable=False is set"


class Action(Enum):
    """What an attempt does."""

    SUBMIT = "submit at once: nothing can have been paid for"
    ATTACH = "look for what was paid first, and go on with it; submit only if there is nothing"
    ASK = "ask the service whether the generation of the receipt is completed, and decide again"
    SEARCH = "ask the service for the latest generation of the candidates, and decide again"
    REFUSE = "fail, and pay nothing"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an attempt must do.

    :param series: the series that it belongs to.
    :param left_series: the previous series, if this one is new.
    :param candidates: names of the series that the previous attempt may have belonged to, latest first.
    :param fingerprint: the hash of the request that it serves; None if it is not known yet.
    :param receipt: what was paid for, if it is remembered.
    :param asked: the parts of the paid request that the result repeats, if they are remembered.
    :param notes: what the log must say, one sentence each; for a refusal, the reason.
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
    """Decide what an attempt does: pay, go on with what was paid, or refuse."""
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
    """Return how an attempt relates to the previous one."""
    if not facts.durable:
        return Standing.ALONE
    if facts.resumed:
        return Standing.SAME
    record = facts.own_record
    if not facts.is_first and facts.told_series is not None:
        return Standing.SAME  # the record is older if the previous attempt could not write it
    if record:
        was_cleared = record.base != facts.base
    else:  # a Clear may have emptied the store, and the next attempt may have died before it left a record
        was_cleared = facts.base != 0 and (facts.is_first or facts.is_forgetful)
    return _standing_after_a_clear(facts) if was_cleared else _standing_of_a_retry(facts)


def _standing_after_a_clear(facts: Facts) -> Standing:
    record, keys = facts.own_record, facts.told_keys
    if keys is not None and RESULT_KEY in keys:
        return Standing.GIVEN
    if record and record.given_by is not None:
        # Airflow never saw the success if a retry followed, or if the attempt's XComs have no result.
        was_retried = record.given_by < facts.base
        is_lost = keys is not None and record.given_by == facts.try_number - 1
        return Standing.OWED if was_retried or is_lost else Standing.GIVEN
    if facts.store is Store.UNREADABLE and facts.told_series is None:
        return Standing.UNREADABLE
    return Standing.OWED if keys is not None else _standing_by_the_service(facts)


def _standing_by_the_service(facts: Facts) -> Standing:
    """Return the standing after a Clear when at most the service can tell whether images were given."""
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
    """Return whether a task with retries had used up every try before the Clear: it probably failed."""
    begun = int(facts.latest.series) if facts.latest else 0
    return facts.retries > 0 and (facts.base - begun) % (facts.retries + 1) == 0


def _standing_of_a_retry(facts: Facts) -> Standing:
    # Airflow can start a retry under the number of the first attempt (seen on 3.3.2).
    if facts.is_first and facts.own_record is None and not facts.told_keys:
        return Standing.FIRST
    is_nameless = facts.store is Store.UNREADABLE and facts.told_series is None and facts.base > 0
    return Standing.UNREADABLE if is_nameless else Standing.SAME


def _last_series(facts: Facts) -> str:
    """Return the name of the previous attempt's series."""
    # XComs are the previous attempt's. The record is older if that attempt could not write to the store.
    if facts.told_series not in (None, FIRST_SERIES):
        return str(facts.told_series)
    if record := facts.own_record:
        return record.series
    if facts.latest:
        return facts.latest.series
    # If nothing is known about a Clear, a retry after it belongs to the series that the Clear began.
    nothing_is_told = facts.store is Store.MISSING and facts.told_keys is None
    is_after_unknown = nothing_is_told and facts.base > 0 and not facts.is_first
    return str(facts.base) if is_after_unknown and facts.on_clear == "new" else FIRST_SERIES


def _candidates(facts: Facts) -> tuple[str, ...]:
    """Return the names of the series that the previous attempt may have belonged to, latest first."""
    latest = facts.base - 1 if facts.is_first else facts.base
    oldest = max(1, latest - MOST_CANDIDATES + 1)
    return (*(str(base) for base in range(latest, oldest - 1, -1)), FIRST_SERIES)


def _series(facts: Facts, standing: Standing, last: str) -> str:
    if standing is Standing.ALONE:
        return f"{facts.ti_id}/{facts.try_number}"
    if facts.on_clear == "new" and standing is Standing.UNKNOWN:
        return str(facts.base)
    if facts.on_clear == "new" and standing is Standing.GIVEN:
        # Must be higher than the last one, even if a change of ``retries`` in the DAG moved the base.
        return str(max(facts.base, int(last) + 1) if last.isdigit() else facts.base)
    return last


def _is_surely_unpaid(facts: Facts, standing: Standing, *, is_new: bool) -> bool:
    if standing is Standing.ALONE:
        return not facts.resumed
    return standing is Standing.FIRST or (is_new and facts.is_first)


def _with_receipt(facts: Facts, decision: Decision) -> Decision:
    """Add to a decision what is remembered about the same request."""
    record = facts.own_record
    if record and record.receipt and record.series == decision.series:
        # A file that is gone, or is on another worker, has no hash. A paid generation does not need it.
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
    going_on = f"{facts.problem} The task continues with the generation of an earlier attempt."
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
        named = f" Generation {left} stays as it is." if left else ""
        notes.append(
            f"The task succeeded before it was cleared, so it makes a new image and pays for it.{named}"
        )
    if left and not is_new and record and facts.fingerprint not in (None, record.fingerprint):
        notes.append(
            f"The request has changed since generation {left} was paid for, so that one is not used. You "
            "can still fetch its images with its id."
        )
    return tuple(notes)


_UNKNOWN = (
    "It is unknown whether the task had succeeded before it was cleared, so a new image is made and paid "
    "for. Airflow 3.3 and later can tell, and so can earlier ones with do_xcom_push=True."
)
_UNKNOWN_CONTINUED = (
    "It is unknown whether the task had succeeded before it was cleared. The task goes on with what was "
    "paid for, because on_clear='continue' is set."
)
_FORGOTTEN = (
    "The Clear has discarded the task state, so the task asked the service. A generation that is completed, "
    "and stored if it had to be stored, counts as given, unless all tries were used up. If a Clear keeps the "
    "task state, the task knows this without asking."
)
_UNRECORDED = (
    "The task state store cannot record which image this attempt makes, so a later attempt would pay again. "
    "Nothing was submitted. A retry tries again."
)
_UNREADABLE = (
    "The task was cleared, and the task state store cannot be read, so it is unknown what was paid for. "
    "Nothing was submitted. A retry reads the store again."
)
