"""The service's memory: the account, its tasks, its uploads."""

from __future__ import annotations

import heapq
import math
import random
import secrets
from collections import deque
from typing import Any

from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.faults import FaultBook
from airflow_provider_gptimg.emulator.ledger import Ledger, dollars
from airflow_provider_gptimg.emulator.limits import RateLimiter
from airflow_provider_gptimg.emulator.settings import Settings, to_micro
from airflow_provider_gptimg.emulator.submission import Submission
from airflow_provider_gptimg.emulator.tasks import LIFETIME, Task
from airflow_provider_gptimg.emulator.uploads import Uploads

EXPIRED_TASKS = 1_000
"""How many tasks whose results have expired are remembered. Of more, the oldest are forgotten, or the memory
of an emulator that runs for weeks would grow for ever. The contract does not say how long the service
remembers them."""


class Emulator:
    """The account and everything in it. Plain synchronous code, used from one event loop."""

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self._initial = settings or Settings()
        self.clock = clock or Clock()
        self.reset()

    def reset(self) -> None:
        """Start again from nothing: settings of the start, real time, empty ledger, no faults."""
        self.settings = self._initial
        self.clock.reset()
        self.tasks: dict[str, Task] = {}
        self.accepted = 0
        self._by_business_id: dict[str, list[Task]] = {}
        self._failing: list[tuple[float, str]] = []
        self._expiring: list[tuple[float, str]] = []
        self._expired: deque[str] = deque()
        self.ledger = Ledger(initial=self.settings.balance_micro)
        self.limiter = RateLimiter(self.settings.rate_limit, self.clock)
        self.faults = FaultBook(self.settings.seed)
        self.uploads = Uploads(self.clock, LIFETIME)

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running; tasks that were accepted before keep their latency and pictures."""
        settings = self.settings.changed(changes)
        if settings.seed != self.settings.seed:
            self.faults.seed(settings.seed)
        if settings.rate_limit != self.settings.rate_limit:
            self.limiter = RateLimiter(settings.rate_limit, self.clock)
        if "balance" in changes:
            self.settle()
            self.ledger.set_balance(to_micro(settings.balance))
        self.settings = settings

    def current(self) -> dict[str, Any]:
        """Return every setting by name; ``balance`` is the money that is left now, in dollars."""
        self.settle()
        return {**self.settings.as_dict(), "balance": dollars(self.ledger.balance)}

    def submit(self, submission: Submission, key: str) -> Task:
        """Accept and bill, or refuse with 402 or 422 and bill nothing."""
        self.settle()
        money = 0 if key.startswith("sk-broke") else self.ledger.balance
        if submission.cost > money:
            needed, left = dollars(submission.cost), dollars(money)
            raise ApiError(402, message=f"Needs {needed:g}, the balance is {left:g}.")
        if "[refuse]" in submission.prompt:
            raise ApiError(422, message="The prompt was refused by the content policy.")
        now = self.clock.now()
        task = Task(
            id=f"{self.settings.shape.id_prefix}{secrets.token_hex(12)}",
            submission=submission,
            key_tail=key[-4:],
            accepted_at=now,
            finishes_at=now + self._latency(submission.prompt),
            fails="[fail]" in submission.prompt,
            seed=self.settings.seed,
            number=self.accepted,
        )
        self.accepted += 1
        self.ledger.bill(task.id, submission.cost)
        self._remember(task)
        return task

    def look(self, identifier: str) -> Task:
        """Return the task that a status query asks for, and count the query; see :meth:`find`."""
        task = self.find(identifier)
        self.ledger.entries[task.id].polls += 1
        return task

    def find(self, identifier: str) -> Task:
        """Return the task with this id, or the latest visible one with this ``client_business_id``.

        :raises ApiError: 404, or what the settings say of an unknown task.
        """
        task = self.tasks.get(identifier)
        if task is None and not self.settings.ignore_business_id:
            visible_from = self.clock.now() - self.settings.lookup_lag
            known = reversed(self._by_business_id.get(identifier, []))
            task = next((task for task in known if task.accepted_at <= visible_from), None)
        if task is None:
            status, code = self.settings.shape.unknown_task
            raise ApiError(status, code, f"There is no task {identifier[:200]!r}.")
        return task

    def settle(self) -> None:
        """Refund what has failed by now, and forget what has been expired for long."""
        now = self.clock.now()
        while self._failing and self._failing[0][0] <= now:
            self.ledger.refund(heapq.heappop(self._failing)[1])
        while self._expiring and self._expiring[0][0] <= now:
            self._expired.append(heapq.heappop(self._expiring)[1])
        while len(self._expired) > EXPIRED_TASKS:
            self._forget(self._expired.popleft())
        self.uploads.sweep()

    def _remember(self, task: Task) -> None:
        self.tasks[task.id] = task
        business_id = task.submission.client_business_id
        if business_id:
            # Not an idempotency key: the second task is a new one, and the look-up finds the latest.
            self._by_business_id.setdefault(business_id, []).append(task)
        if task.fails:
            heapq.heappush(self._failing, (task.finishes_at, task.id))
        heapq.heappush(self._expiring, (task.expires_at, task.id))

    def _forget(self, generation_id: str) -> None:
        task = self.tasks.pop(generation_id)
        del self.ledger.entries[generation_id]
        business_id = task.submission.client_business_id
        if business_id:
            self._by_business_id[business_id].remove(task)
            if not self._by_business_id[business_id]:
                del self._by_business_id[business_id]

    def _latency(self, prompt: str) -> float:
        # By ordinal, not from one running generator: a latency does not depend on what else happened.
        draw = random.Random(f"{self.settings.seed}/{self.accepted}").gauss(0.0, 1.0)
        latency = self.settings.latency_median * math.exp(self.settings.latency_sigma * draw)
        return latency * 10 if "[slow]" in prompt else latency
