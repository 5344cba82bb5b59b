"""Works through a batch: submit at the account's rate, wait for many at once, store images as they finish."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.interruption import Interrupted
from airflow_provider_gptimg.batch.activity import Activity
from airflow_provider_gptimg.batch.budget import DIGITS, images_of
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.batch.journal import COMPLETED, INTENDED, WITHDRAWN, State
from airflow_provider_gptimg.batch.maker import Maker, Waiting
from airflow_provider_gptimg.batch.plan import BatchPlan, ItemPlan, Step, ToMake
from airflow_provider_gptimg.batch.progress import EVERY
from airflow_provider_gptimg.files.cache import Entry
from airflow_provider_gptimg.hooks.shared import shared_client

LINGER = 5.0
"""Seconds without progress after which a worker that only waits is given back."""

TICK = 0.1
"""Seconds between two checks of the progress."""

SUBMITTING_SECONDS = 2.0
"""Submissions under way at once, in seconds of the rate. A slower answer slows the batch, and this many more
submissions go out after the batch is stopped."""

STORERS = 16
"""Maximum number of images stored at once."""

INTENDED_SECONDS = 5.0
"""Submissions intended at once, in seconds of the rate. After a crash at most these are looked up."""

FLUSH_EVERY = 1.0
"""Seconds between two writes of the journal. Look-ups find what happens in between."""

READ_AHEAD = 100
"""Items read at a time."""


class Runner:
    """Works through a batch until all items are over, or until only waiting is left."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan, self._journal = plan, plan.journal
        self._activity = Activity()
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: list[tuple[Item, ItemPlan]] = []
        self._broken: BaseException | None = None

    async def run(self) -> list[Waiting]:
        """Work, and return the generations still to wait for, by deadline; nothing if all items are over.

        :raises ApiError: kind STORAGE, if the items cannot be read, or the batch's records cannot be written.
        :raises Interrupted: if it is halted. The next attempt finds what was under way.
        """
        to_make = await asyncio.to_thread(self._count)
        if overview := self._plan.progress.overview():
            self._plan.log.info("%s", overview)
        if to_make.images:
            await asyncio.to_thread(self._plan.before_paying, to_make)
        rules, submits = self._plan.rules, self._plan.settings.limits.submits
        self._slots = asyncio.Semaphore(rules.max_in_flight)
        self._submitters = asyncio.Semaphore(max(4, math.ceil(SUBMITTING_SECONDS * submits)))
        self._intended_at_once = min(rules.max_in_flight, math.ceil(INTENDED_SECONDS * submits))
        storers = ThreadPoolExecutor(STORERS, thread_name_prefix="gptimg-store")
        try:
            async with shared_client(self._plan.settings) as client:
                self._maker = Maker(self._plan, client, storers, self._activity)
                feeder = asyncio.create_task(self._feed())
                try:
                    return await self._supervise(feeder)
                finally:
                    await _cancelled(feeder, *self._tasks)
                    await asyncio.to_thread(self._journal.flush)
        finally:
            storers.shutdown(wait=not self._plan.failures.is_halted, cancel_futures=True)

    def _count(self) -> ToMake:
        """Count the items that are already over, and return what is to be made."""
        progress, failures, owned = self._plan.progress, self._plan.failures, self._plan.owned
        if owned is not None:
            owned.look((item, self._plan.of(item), self._state_of(item)) for item in self._plan.items)
        wanted, images, usd = set(), 0, 0.0
        for item in self._plan.items:
            wanted.add(item.digest)
            plan, state = self._plan.of(item), self._state_of(item)
            step = plan.step
            if owned and (owned.entry_of(item, plan) or owned.maker_of(item, plan)):
                progress.owned += step in (Step.SUBMIT, Step.ATTACH)
            elif step is Step.SUBMIT or (step is Step.ATTACH and not (state and state.receipt)):
                images, usd = images + images_of(item), usd + self._plan.budget.price_of(item)
            if step is Step.KEEP and state:
                progress.completed += 1
                progress.kept += state.attempt <= self._plan.cleared_at
            elif step is Step.LEAVE and state:
                failures.add(ApiError(Kind(state.reason), "It failed before."))
        progress.failed = failures.count
        progress.dropped = sum(
            state.status == COMPLETED and digest not in wanted
            for digest, state in self._journal.states.items()
        )
        progress.begin()
        return ToMake(images, round(usd, DIGITS))

    async def _supervise(self, feeder: asyncio.Task[None]) -> list[Waiting]:
        spoken = flushed = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            if feeder.done():
                feeder.result()
            if self._broken is not None:
                raise self._broken
            if self._plan.failures.is_halted:
                raise Interrupted("Airflow ended the task while it worked through the batch.")
            now = time.monotonic()
            is_over = feeder.done() and not self._tasks
            if now - flushed >= FLUSH_EVERY:
                await asyncio.to_thread(self._journal.flush)
                flushed = now
            if is_over or now - spoken >= EVERY:
                self._plan.log.info("%s", self._plan.progress.line())
                spoken = now
            if is_over:
                left = self._plan.progress.total - self._plan.progress.over
                if left > 0 and not self._plan.failures.is_stopped:
                    raise AssertionError(f"{left} items were neither made nor failed. A retry makes them.")
                return []
            waiting = self._maker.waiting.values()
            if waiting and self._plan.rules.may_leave and self._activity.is_idle_for(LINGER):
                return sorted(waiting, key=lambda generation: generation.deadline)

    async def _feed(self) -> None:
        fresh: list[tuple[Item, ItemPlan]] = []
        with self._activity.working():
            items = iter(self._plan.items)
            # In a thread, because the items may come from a storage.
            while some := await asyncio.to_thread(list, islice(items, READ_AHEAD)):
                for item in some:
                    plan, state = self._plan.of(item), self._state_of(item)
                    if plan.step in (Step.KEEP, Step.LEAVE) or (state and self._is_left(state)):
                        continue
                    if await self._is_owned(item, plan, state):
                        continue
                    if plan.step is Step.ATTACH and not self._is_to_be_counted(item, plan):
                        await self._start(partial(self._maker.make, item, plan, lambda: None))
                    elif not self._plan.failures.is_stopped:
                        fresh.append((item, plan))
                    if len(fresh) == self._intended_at_once:
                        await self._start_all(fresh)
                        fresh = []
            await self._start_all(fresh)
            # What is under way may leave an item for later: its picture in the cache is damaged.
            while (self._later or self._tasks) and not self._plan.failures.is_stopped:
                await self._start_later()

    async def _is_owned(self, item: Item, plan: ItemPlan, state: State | None) -> bool:
        """Return whether an item's images are in the cache, or will be because another item makes them."""
        owned = self._plan.owned
        if owned is None or self._plan.failures.is_stopped:
            return False
        if plan.step is Step.SUBMIT and (entry := owned.entry_of(item, plan)):
            await self._start(partial(self._take, item, plan, entry))
            return True
        if state is None and owned.maker_of(item, plan):
            self._later.append((item, plan))
            return True
        return False

    async def _take(self, item: Item, plan: ItemPlan, entry: Entry) -> None:
        if not await self._maker.take(item, plan, entry):
            self._later.append((item, plan))

    async def _start_later(self) -> None:
        """Start the items that waited for others, once all others are over."""
        if self._tasks:
            with self._activity.waiting():
                await asyncio.wait(self._tasks)
        if self._plan.owned is not None:
            self._plan.owned.end_round()
        later, self._later = self._later, []
        fresh = [
            (item, plan) for item, plan in later if not await self._is_owned(item, plan, self._state_of(item))
        ]
        await self._start_all(fresh)

    def _state_of(self, item: Item) -> State | None:
        return self._journal.states.get(item.digest)

    def _is_to_be_counted(self, item: Item, plan: ItemPlan) -> bool:
        budget = self._plan.budget
        return budget.limit is not None and budget.needs(item, plan) > 0

    def _is_left(self, state: State) -> bool:
        return self._plan.failures.is_stopped and not self._maker.is_under_way(state)

    async def _start_all(self, items: list[tuple[Item, ItemPlan]]) -> None:
        """Start items that may have to be paid for, as far as the budget allows."""
        while items and not self._plan.failures.is_stopped:
            allowed = self._intended(items)
            items = items[len(allowed) :]
            if allowed:
                await self._start_intended(allowed)
            elif self._tasks:  # one of them may be refunded
                with self._activity.waiting():
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                self._plan.failures.stop(self._plan.budget.reached())

    def _intended(self, items: list[tuple[Item, ItemPlan]]) -> list[tuple[Item, ItemPlan]]:
        """Note the cost of as many of the first items as the budget allows, and return them."""
        budget = self._plan.budget
        for number, (item, plan) in enumerate(items):
            needed = budget.needs(item, plan)
            if not budget.allows(needed):
                return items[:number]
            self._journal.note(item.digest, INTENDED, series=plan.series, **budget.stake(item, needed))
        return items

    async def _start_intended(self, items: list[tuple[Item, ItemPlan]]) -> None:
        await asyncio.to_thread(self._journal.flush)
        unstarted = deque(items)
        try:
            while unstarted:
                # Here rather than in the task, so that only items that are soon submitted are intended.
                await self._submitters.acquire()
                await self._start(partial(self._maker.make, *unstarted[0], self._submitters.release))
                unstarted.popleft()
        finally:
            for item, plan in unstarted:
                if plan.step is Step.SUBMIT:
                    self._journal.note(item.digest, WITHDRAWN, **self._plan.budget.settle(item, 0.0))

    async def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with self._activity.waiting():
            await self._slots.acquire()
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        error = None if task.cancelled() else task.exception()
        self._broken = self._broken or error


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
