"""Makes one item of a batch: submit or find it, wait, store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import AsyncClient
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.models import pixels
from airflow_provider_gptimg.api.polling.schedule import Course, kind_of
from airflow_provider_gptimg.batch.activity import Activity
from airflow_provider_gptimg.batch.failures import REFUSES_ALL
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, INTENDED, SUBMITTED, WITHDRAWN, State
from airflow_provider_gptimg.batch.plan import BatchPlan, ItemPlan, Step
from airflow_provider_gptimg.files.cache import Entry, key_of
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.payment.decision import FIRST_SERIES
from airflow_provider_gptimg.payment.identity import Identity
from airflow_provider_gptimg.payment.receipt import Receipt
from airflow_provider_gptimg.payment.submission import Origin, Reconciler, Submission, Withdrawn
from airflow_provider_gptimg.result import Asked, Result, asked, collect, shortfall

_UNPAID = REFUSES_ALL | {
    Kind.INVALID,
    Kind.BAD_REQUEST,
    Kind.POLICY,
    Kind.MODEL_UNAVAILABLE,
    Kind.RATE_LIMITED,
    Kind.REFERENCE,
}
"""Errors of requests that the service refuses or never receives."""


class Waiting(NamedTuple):
    """A generation to wait for: its deadline (Unix seconds), and which generations take about as long."""

    generation_id: str
    deadline: float
    kind: str


class Maker:
    """Makes items of a batch, many at once, and notes the outcome of each.

    :param storers: the threads that store images.
    """

    def __init__(self, plan: BatchPlan, client: AsyncClient, storers: Executor, activity: Activity) -> None:
        self.waiting: dict[str, Waiting] = {}
        self._plan, self._client, self._storers, self._activity = plan, client, storers, activity
        self._journal, self._rules, self._budget = plan.journal, plan.rules, plan.budget
        self._owned = plan.owned
        self._why: dict[str, str] = {}

    def is_under_way(self, state: State) -> bool:
        """Return whether all that is left for an item is to wait.

        After an earlier attempt it is looked up first, because it may have failed or expired. It is not
        looked up if no submission could follow any more.
        """
        is_ours = state.attempt == self._journal.attempt or self._plan.failures.is_stopped
        return state.status == SUBMITTED and is_ours

    async def take(self, item: Item, plan: ItemPlan, entry: Entry) -> bool:
        """Take an item's images from the cache, and return whether that worked."""
        owned = self._owned
        if owned is None:
            return False
        try:
            with self._activity.working():
                if names := self._plan.names_taken(item):
                    self._journal.note(item.digest, WITHDRAWN, shown=item.shown, names=names)
                    await asyncio.to_thread(self._journal.flush)
                result = await asyncio.get_running_loop().run_in_executor(
                    self._storers, owned.take, item, entry
                )
        except ApiError as error:
            self._fail(item, plan, error)
            return True
        if result is None:
            return False
        saved = owned.saved(result)
        taken = {
            "generation_id": entry.generation_id,
            "entry": str(entry.place),
            "made_by": entry.made_by,
        }
        self._note_completed(item, result, taken=taken, saved_usd=saved)
        self._plan.metrics.cached(result, saved)
        return True

    async def make(self, item: Item, plan: ItemPlan, submitted: Callable[[], None]) -> None:
        """Make an item.

        :param plan: what to do about it.
        :param submitted: called when it is submitted, or when it is clear that it will not be.
        """
        try:
            try:
                with self._activity.working():
                    generation, known = await self._found(item, plan)
            finally:
                submitted()
            self._plan.progress.in_flight += 1
            try:
                generation = await self._completed(item, generation, known)
                with self._activity.working():
                    await self._store(item, generation, known)
            finally:
                self._plan.progress.in_flight -= 1
        except Withdrawn as withdrawn:
            entry = self._owned.entry_of(item, plan) if self._owned else None
            if entry is not None and not self._plan.failures.is_stopped:
                if not await self.take(item, plan, entry):
                    await self.make(item, plan, lambda: None)
            elif withdrawn.surely and plan.step is Step.SUBMIT:
                self._journal.note(item.digest, WITHDRAWN, **self._budget.settle(item, 0.0))
        except ApiError as error:
            self._fail(item, plan, error)

    async def _found(self, item: Item, plan: ItemPlan) -> tuple[Generation, Receipt]:
        state = self._journal.states.get(item.digest)
        known = state.receipt if state and plan.step is Step.ATTACH else None
        if state and known and self.is_under_way(state):
            generation = await self._client.run(
                flows.look(
                    known.generation_id,
                    pace=self._rules.pace,
                    deadline=self._deadline(known),
                    clock=time.time,
                    submitted_at=known.submitted_at,
                )
            )
            return generation, known
        if self._plan.failures.is_stopped:
            raise Withdrawn(surely=True)
        submission, key = await self._submitted(item, plan, known)
        self._activity.moved()
        self._plan.metrics.submitted(submission, item.fields["model"])
        money = self._budget.reopen(item) if state and state.status == COMPLETED else {}
        facts = {"shown": item.shown, **submission.receipt.as_json(), **key, **money}
        self._journal.note(item.digest, SUBMITTED, **facts)
        return submission.generation, submission.receipt

    async def _submitted(
        self, item: Item, plan: ItemPlan, known: Receipt | None
    ) -> tuple[Submission, dict[str, Any]]:
        """Submit an item or find it; also return the facts about its cache key for the journal."""
        if item.problem is not None:
            raise item.problem
        request = await asyncio.to_thread(item.request)
        owned = self._owned
        if owned is not None and plan.step is Step.SUBMIT:
            why = await asyncio.to_thread(owned.why_not, item, request)
            if why is not None:
                self._why[item.digest] = why
        reconciler = Reconciler(
            request=request,
            business_id=_identity(item, plan.series).business_id,
            fresh=plan.step is Step.SUBMIT,
            known=known,
            on_ambiguous=self._rules.on_ambiguous,
            give_up_at=time.time() + self._rules.timeout,
            clock=time.time,
            report=lambda sentence: self._plan.log.warning("For %s: %s", item.label, sentence),
            note=lambda sentence: self._plan.log.info("For %s: %s", item.label, sentence),
            is_owned=lambda: owned is not None and owned.entry_of(item, plan) is not None,
            may_submit=lambda: not self._plan.failures.is_stopped,
            may_pay_again=partial(self._pay_again, item, plan),
        )
        submission = await self._client.run(reconciler.submit())
        # Another attempt may have submitted it with files that have changed since then.
        is_known = submission.origin is Origin.SUBMITTED or not request.files
        return submission, {"cache_key": key_of(request)} if owned and is_known else {}

    def _pay_again(self, item: Item, plan: ItemPlan) -> None:
        """Count a second payment for an item before it can happen."""
        price = self._budget.price_of(item)
        if not self._budget.allows(price):
            raise self._budget.reached()
        self._journal.note(item.digest, INTENDED, series=plan.series, **self._budget.stake(item, price))
        if self._budget.limit is not None:
            self._journal.flush()

    async def _completed(self, item: Item, generation: Generation, known: Receipt) -> Generation:
        if generation.is_final:
            return generation
        fields, deadline = item.fields, self._deadline(known)
        kind = kind_of(fields["model"], fields["resolution"], fields["n"])
        pace, schedule = self._rules.pace, self._client.schedules.of(kind)
        self.waiting[item.digest] = Waiting(generation.id, deadline, kind)
        try:
            return await self._client.run(
                flows.wait(
                    generation.id,
                    pace=pace,
                    deadline=deadline,
                    clock=time.time,
                    submitted_at=known.submitted_at,
                    course=Course(schedule, pace.interval, time.time, since=known.submitted_at),
                )
            )
        finally:
            del self.waiting[item.digest]

    async def _store(self, item: Item, generation: Generation, known: Receipt) -> None:
        request = item.request(with_files=False)
        size = pixels(request.model, request.size, request.resolution)
        storage = self._plan.storage_for(item, size)
        if names := self._plan.names_taken(item):
            # Before, not after: a crash in between must not leave these images under the other item's name.
            self._journal.note(item.digest, SUBMITTED, shown=item.shown, names=names, **known.as_json())
            await asyncio.to_thread(self._journal.flush)
        result = await asyncio.get_running_loop().run_in_executor(
            self._storers,
            partial(self._stored, item, generation, asked(request, known.submissions), storage),
        )
        if line := shortfall(result):
            self._plan.log.warning("For %s: %s", item.label, line)
        self._note_completed(item, result, not_cached=self._why.pop(item.digest, None), **known.as_json())
        self._plan.metrics.given(result)

    def _stored(self, item: Item, generation: Generation, asked: Asked, storage: Storage) -> Result:
        """Store a generation's images, and enter them into the cache if there is one; in a thread."""
        owned = self._owned
        if owned is not None:
            key = self._journal.states[item.digest].cache_key
            storage = replace(storage, slot=None if key is None else owned.slot(key, generation.id))
        result = collect(generation, asked, storage.store, prices=self._plan.settings.prices)
        if owned is not None:
            owned.enter(storage.enter(result["images"], asked, owned.made_by))
        return result

    def _note_completed(self, item: Item, result: Result, **facts: Any) -> None:
        self._activity.moved()
        self._plan.progress.completed += 1
        times = {name: result[name] for name in ("created_at", "completed_at", "expires_at")}
        self._journal.note(
            item.digest,
            COMPLETED,
            index=item.index,
            shown=item.shown,
            images=list(result["images"]),
            cost_usd=result["cost_usd"],
            cost_estimated=result["cost_estimated"],
            **facts,
            **times,
            **self._budget.settle(item, result["cost_usd"]),
        )

    def _fail(self, item: Item, plan: ItemPlan, error: ApiError) -> None:
        self._activity.moved()
        self._plan.metrics.failed(error.kind.value)
        failures = self._plan.failures
        was_stopped = failures.is_stopped
        failures.add(error)
        self._plan.progress.failed = failures.count
        facts = {"generation_id": error.generation_id} if error.generation_id else {}
        reason = {"reason": error.kind.value, "message": str(error)}
        is_refused = plan.step is Step.SUBMIT and error.generation_id is None and _is_unpaid(error)
        money = self._budget.settle(item, 0.0) if is_refused or error.kind is Kind.FAILED else {}
        self._journal.note(item.digest, FAILED, shown=item.shown, **facts, error=reason, **money)
        self._plan.log.warning("Making %s failed: %s", item.label, error)
        if failures.is_stopped and not was_stopped:
            self._plan.log.warning(
                "No more items are submitted. The batch waits for those in flight and stores them."
            )

    def _deadline(self, known: Receipt) -> float:
        return (known.submitted_at or time.time()) + self._rules.timeout


def _is_unpaid(error: ApiError) -> bool:
    """Return whether an item was not paid for if its first submission failed with this error."""
    return error.not_accepted or error.kind in _UNPAID


def _identity(item: Item, series: str) -> Identity:
    """Return the identity of an item; the first series has no name, so that ids do not change."""
    return Identity(item.digest) if series == FIRST_SERIES else Identity.of([item.digest], series, "")
