"""One attempt of a task that pays. It gathers the facts, asks for a decision, and leaves a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_gptimg.payment.decision import (
    FIRST_SERIES,
    Action,
    Decision,
    Facts,
    Latest,
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
    """What Airflow says about an attempt. The other fields are in :class:`~…payment.decision.Facts`.

    :param place: identifies the task instance, see
        :class:`~airflow_provider_gptimg.payment.identity.Identity`.
    """

    place: Sequence[str]
    try_number: int
    base: int
    retries: int = 0
    ti_id: str = ""
    resumed: bool = False
    is_forgetful: bool = False
    xcom_keys: frozenset[str] | None = None
    pushes_xcoms: bool = True
    pushed_id: str | None = None


@dataclass
class Attempt:
    """One attempt. It knows its series from the start, and its identity once it has a request.

    :param facts: what is known so far of everything that the decision depends on.
    :param series: the series that it belongs to, as far as that is known without the request.
    :param was_given: see :meth:`begin`.
    """

    place: Sequence[str]
    memory: Memory
    log: Any
    facts: Facts
    series: str
    was_given: Callable[[Identity], bool | None]

    @classmethod
    def begin(
        cls,
        task: TaskFacts,
        memory: Memory,
        *,
        durable: bool,
        on_clear: OnClear,
        is_completed: Callable[[Receipt], bool],
        was_given: Callable[[Identity], bool | None],
        log: Any,
    ) -> Attempt:
        """Return the attempt, after it has left the name of its series for later attempts.

        :param task: what Airflow says about it.
        :param memory: what earlier attempts left.
        :param durable: False lets every attempt pay.
        :param on_clear: what a Clear after success means.
        :param is_completed: asks the service whether a generation is completed. It is called only for a task
            that may have ended in the triggerer.
        :param was_given: asks the service whether an identity's latest generation seems to have been given.
            Returns None if there is none. It is called only if a Clear may have emptied the store.
        :param log: a logger.
        """
        store, record = memory.recall()
        facts = Facts(
            try_number=task.try_number,
            base=task.base,
            retries=task.retries,
            ti_id=task.ti_id,
            resumed=task.resumed,
            durable=durable,
            on_clear=on_clear,
            store=store,
            record=record,
            is_forgetful=task.is_forgetful,
            xcom_keys=task.xcom_keys,
            pushes_xcoms=task.pushes_xcoms,
            pushed_id=task.pushed_id,
        )
        decision = decide(facts)
        if decision.action is Action.ASK and decision.receipt:
            facts = replace(facts, is_completed=is_completed(decision.receipt))
            decision = decide(facts)
        attempt = cls(task.place, memory, log, facts, decision.series, was_given)
        attempt._leave_series(decision)
        return attempt

    def decide(self, fingerprint: str | None, problem: str | None = None) -> Decision:
        """Return what to do for a request, and log the reasons.

        :param fingerprint: the hash of the request; None if one of its files cannot be read.
        :param problem: why the file cannot be read.
        """
        self.facts = replace(self.facts, fingerprint=fingerprint, problem=problem)
        decision = decide(self.facts)
        if decision.action is Action.SEARCH:
            self.facts = replace(self.facts, latest=self._search(decision.candidates, fingerprint))
            decision = decide(self.facts)
            self._leave_series(decision)
            decision = decide(self.facts)
        for note in decision.notes if decision.action is not Action.REFUSE else ():
            self.log.info("%s", note)
        is_known = self.facts.record is not None and self.facts.record.receipt is not None
        if decision.left_series is not None and decision.fingerprint and not is_known:
            left = Identity.of(self.place, decision.left_series, decision.fingerprint).business_id(1)
            self.log.info(
                "The generation of the same request before the Clear has the client_business_id %s.", left
            )
        return decision

    def identity(self, decision: Decision) -> Identity:
        """Return the identity of the request in this series."""
        return Identity.of(self.place, self.series, decision.fingerprint or "")

    def remember(
        self,
        receipt: Receipt,
        *,
        fingerprint: str,
        asked: Any,
        ends_in_triggerer: bool = False,
        cache_key: str | None = None,
    ) -> None:
        """Record what was paid for, right after the submission."""
        self.memory.keep(
            Record(
                series=self.series,
                base=self.facts.base,
                fingerprint=fingerprint,
                receipt=receipt,
                asked=asked,
                ends_in_triggerer=ends_in_triggerer,
                ti_id=self.facts.ti_id,
                cache_key=cache_key,
            )
        )

    def remember_given(self) -> None:
        """Record that a result was given for which nothing was paid."""
        facts = self.facts
        self.memory.keep(
            Record(series=self.series, base=facts.base, given_by=facts.try_number, ti_id=facts.ti_id)
        )

    def _search(self, candidates: Sequence[str], fingerprint: str | None) -> Latest:
        for series in candidates if fingerprint else ():
            was_given = self.was_given(Identity.of(self.place, series, fingerprint or ""))
            if was_given is not None:
                return Latest(series=series, is_given=was_given)
        return Latest(series=FIRST_SERIES, is_given=False)

    def _leave_series(self, decision: Decision) -> None:
        """Record the name of the series, if a later attempt could not know it otherwise."""
        self.series = decision.series
        if not self.facts.durable or decision.action in (Action.REFUSE, Action.SEARCH):
            return
        facts, series, record = self.facts, self.series, self.facts.own_record
        is_kept, is_named = facts.store is Store.READABLE, record is not None and record.series == series
        # A Clear may empty the store, so a record in it shows that none has.
        if (series != FIRST_SERIES or facts.is_forgetful) and not is_named:
            is_kept = self.memory.keep(Record(series=series, base=facts.base, ti_id=facts.ti_id))
            is_lost = not is_kept and facts.store is Store.READABLE and facts.told_keys is None
            if is_lost and (series != FIRST_SERIES or facts.latest is not None):
                self.facts = replace(facts, is_recorded=False)
                return
        if not facts.resumed and (series != FIRST_SERIES or not is_kept):
            self.memory.name_series(series)
