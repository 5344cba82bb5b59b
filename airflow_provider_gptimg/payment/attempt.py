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


class Attempt:
    """One attempt, which knows its series from the start and its identity once it has a request.

    Before it pays in a new series it says so, so that any later attempt knows what is owed.

    :param task: what Airflow says of it.
    :param memory: what earlier attempts left.
    :param durable: False lets every attempt pay.
    :param on_clear: what a Clear after success means.
    :param is_completed: asks the service whether a generation is completed. It is called only for a task that
        may have ended in its triggerer.
    :param log: a logger.
    """

    def __init__(
        self,
        task: TaskFacts,
        memory: Memory,
        *,
        durable: bool,
        on_clear: OnClear,
        is_completed: Callable[[Receipt], bool],
        log: Any,
    ) -> None:
        self._place, self._memory, self._log = task.place, memory, log
        store, record = memory.recall()
        self._facts = Facts(
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
        decision = decide(self._facts)
        if decision.action is Action.ASK and decision.receipt:
            self._facts = replace(self._facts, is_completed=is_completed(decision.receipt))
            decision = decide(self._facts)
        self.series = decision.series
        if durable and decision.action is not Action.REFUSE:
            self._facts = replace(self._facts, is_recorded=self._begin())

    def decide(self, fingerprint: str | None, problem: str | None = None) -> Decision:
        """Return what to do for a request, after saying in the log what it rests on.

        :param fingerprint: the hash of the request; None if a file of it cannot be read.
        :param problem: why it cannot be read.
        """
        self._facts = replace(self._facts, fingerprint=fingerprint, problem=problem)
        decision = decide(self._facts)
        for note in decision.notes if decision.action is not Action.REFUSE else ():
            self._log.info("%s", note)
        if decision.left_series is not None and decision.fingerprint and not self._names_generation():
            left = Identity.of(self._place, decision.left_series, decision.fingerprint).business_id(1)
            self._log.info("What was made before, of the same request, has the client_business_id %s.", left)
        return decision

    def identity(self, decision: Decision) -> Identity:
        """Return who is asking."""
        return Identity.of(self._place, self.series, decision.fingerprint or "")

    def remember(
        self, receipt: Receipt, *, fingerprint: str, asked: Any, ends_in_triggerer: bool = False
    ) -> None:
        """Leave what was paid for, at once after the submission."""
        self._memory.keep(
            Record(
                series=self.series,
                base=self._facts.base,
                fingerprint=fingerprint,
                receipt=receipt,
                asked=asked,
                ends_in_triggerer=ends_in_triggerer,
                ti_id=self._facts.ti_id,
            )
        )

    def _begin(self) -> bool:
        """Leave the name of the series, if a later attempt could not know it; return whether it can then."""
        record, is_kept = self._facts.own_record, self._facts.store is Store.READABLE
        is_named = record is not None and record.series == self.series
        if self.series != FIRST_SERIES and not is_named:
            is_kept = self._memory.keep(
                Record(series=self.series, base=self._facts.base, ti_id=self._facts.ti_id)
            )
            if not is_kept and self._facts.store is Store.READABLE and self._facts.told_keys is None:
                return False
        if not self._facts.resumed and (self.series != FIRST_SERIES or not is_kept):
            self._memory.name_series(self.series)
        return True

    def _names_generation(self) -> bool:
        return bool(self._facts.record and self._facts.record.receipt)
