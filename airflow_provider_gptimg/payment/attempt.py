"""One attempt of a task that pays: it gathers the facts, has them decided on, and leaves a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_gptimg.payment.decision import (
    FIRST_SERIES,
    Action,
    Decision,
    Facts,
    OnClear,
    Record,
    Store,
    decide,
)
from airflow_provider_gptimg.payment.identity import Identity
from airflow_provider_gptimg.payment.memory import Memory
from airflow_provider_gptimg.payment.receipt import Receipt


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """What Airflow says of an attempt; for the others see :class:`~…payment.decision.Facts`.

    :param place: what tells the task instance from all others, see
        :class:`~airflow_provider_gptimg.payment.identity.Identity`.
    """

    place: Sequence[str]
    try_number: int
    base: int
    ti_id: str = ""
    resumed: bool = False
    xcom_keys: frozenset[str] | None = None
    pushes_xcoms: bool = True
    pushed_id: str | None = None


@dataclass
class Attempt:
    """One attempt, which knows its series from the start and its identity once it has a request.

    :param facts: all that decides what it does, as far as it is known.
    :param series: the series that it belongs to.
    """

    place: Sequence[str]
    memory: Memory
    log: Any
    facts: Facts
    series: str

    @classmethod
    def begin(
        cls,
        task: TaskFacts,
        memory: Memory,
        *,
        durable: bool,
        on_clear: OnClear,
        is_completed: Callable[[Receipt], bool],
        log: Any,
    ) -> Attempt:
        """Return the attempt, after it has left the name of its series for later attempts.

        :param task: what Airflow says of it.
        :param memory: what earlier attempts left.
        :param durable: False lets every attempt pay.
        :param on_clear: what a Clear after success means.
        :param is_completed: asks the service whether a generation is completed. It is called only for a task
            that may have ended in its triggerer.
        :param log: a logger.
        """
        store, record = memory.recall()
        facts = Facts(
            try_number=task.try_number,
            base=task.base,
            ti_id=task.ti_id,
            resumed=task.resumed,
            durable=durable,
            on_clear=on_clear,
            store=store,
            record=record,
            xcom_keys=task.xcom_keys,
            pushes_xcoms=task.pushes_xcoms,
            pushed_id=task.pushed_id,
        )
        decision = decide(facts)
        if decision.action is Action.ASK and decision.receipt:
            facts = replace(facts, is_completed=is_completed(decision.receipt))
            decision = decide(facts)
        if durable and decision.action is not Action.REFUSE:
            facts = replace(facts, is_recorded=_leave_series(facts, decision.series, memory))
        return cls(task.place, memory, log, facts, decision.series)

    def decide(self, fingerprint: str | None, problem: str | None = None) -> Decision:
        """Return what to do for a request, after saying in the log what it rests on.

        :param fingerprint: the hash of the request; None if a file of it cannot be read.
        :param problem: why it cannot be read.
        """
        self.facts = replace(self.facts, fingerprint=fingerprint, problem=problem)
        decision = decide(self.facts)
        for note in decision.notes if decision.action is not Action.REFUSE else ():
            self.log.info("%s", note)
        is_known = self.facts.record is not None and self.facts.record.receipt is not None
        if decision.left_series is not None and decision.fingerprint and not is_known:
            left = Identity.of(self.place, decision.left_series, decision.fingerprint).business_id(1)
            self.log.info("What was made before, of the same request, has the client_business_id %s.", left)
        return decision

    def identity(self, decision: Decision) -> Identity:
        """Return who is asking."""
        return Identity.of(self.place, self.series, decision.fingerprint or "")

    def remember(
        self, receipt: Receipt, *, fingerprint: str, asked: Any, ends_in_triggerer: bool = False
    ) -> None:
        """Leave what was paid for, at once after the submission."""
        self.memory.keep(
            Record(
                series=self.series,
                base=self.facts.base,
                fingerprint=fingerprint,
                receipt=receipt,
                asked=asked,
                ends_in_triggerer=ends_in_triggerer,
                ti_id=self.facts.ti_id,
            )
        )


def _leave_series(facts: Facts, series: str, memory: Memory) -> bool:
    """Leave the name of a series, if a later attempt could not know it; return whether it can then."""
    record, is_kept = facts.own_record, facts.store is Store.READABLE
    is_named = record is not None and record.series == series
    if series != FIRST_SERIES and not is_named:
        is_kept = memory.keep(Record(series=series, base=facts.base, ti_id=facts.ti_id))
        if not is_kept and facts.store is Store.READABLE and facts.told_keys is None:
            return False
    if not facts.resumed and (series != FIRST_SERIES or not is_kept):
        memory.name_series(series)
    return True
