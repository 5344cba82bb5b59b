"""The service's memory: the account, its tasks, its uploads."""

from __future__ import annotations

import heapq
import math
import random
import secrets
from collections import deque
from dataclasses import asdict
from typing import Any

from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.faults import FaultBook
from airflow_provider_gptimg.emulator.ledger import Entry, Ledger, Requests, dollars
from airflow_provider_gptimg.emulator.limits import RateLimiter
from airflow_provider_gptimg.emulator.settings import Settings, to_micro
from airflow_provider_gptimg.emulator.state_file import Changes, StateFile
from airflow_provider_gptimg.emulator.submission import Submission
from airflow_provider_gptimg.emulator.tasks import LIFETIME, Task
from airflow_provider_gptimg.emulator.uploads import Upload, Uploads

EXPIRED_TASKS = 1_000
"""How many tasks with expired results are remembered. Beyond that the oldest are forgotten, because otherwise
the memory of an emulator that runs for weeks would keep growing. The contract does not say how long the
service remembers them."""


class Emulator:
    """The account and everything in it. Plain synchronous code, used from one event loop.

    :param settings: The settings at the start, and after a reset.
    :param clock: Its time; default: the system's.
    :param state_file: The file that keeps everything over a restart. Its balance wins over
        ``settings.balance``.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        state_file: StateFile | None = None,
    ) -> None:
        self._initial = settings or Settings()
        self.clock = clock or Clock()
        self._file = state_file
        self.reset()
        if state_file is not None:
            self._load(state_file)

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
        self._changes = Changes(everything=True)

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running; tasks accepted before keep their latency and pictures."""
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
        """Accept and bill the submission, or refuse it with 402 or 422 and bill nothing."""
        self.settle()
        money = 0 if key.startswith("sk-broke") else self.ledger.balance
        if submission.cost > money:
            needed, left = dollars(submission.cost), dollars(money)
            raise ApiError(402, message=f"This needs {needed:g}, but the balance is {left:g}.")
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
        self.ledger.billed += submission.cost
        self._remember(task, Entry(billed=submission.cost))
        self._changes.tasks.add(task.id)
        return task

    def look(self, identifier: str) -> Task:
        """Return the task that a status query asks for, and count the query; see :meth:`find`."""
        task = self.find(identifier)
        self.ledger.entries[task.id].polls += 1
        self._changes.tasks.add(task.id)
        return task

    def upload(self, content: bytes) -> Upload:
        """Store an uploaded picture.

        :raises UploadError: if it is refused.
        """
        upload = self.uploads.add(content)
        self._changes.uploads.append(upload)
        return upload

    def find(self, identifier: str) -> Task:
        """Return the task with this id, or the latest visible one with this ``client_business_id``.

        :raises ApiError: 404, or the error that the settings give for an unknown task.
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
        """Refund tasks that have failed by now, and forget tasks that expired long ago."""
        now = self.clock.now()
        while self._failing and self._failing[0][0] <= now:
            failed = heapq.heappop(self._failing)[1]
            self.ledger.refund(failed)
            self._changes.tasks.add(failed)
        while self._expiring and self._expiring[0][0] <= now:
            self._expired.append(heapq.heappop(self._expiring)[1])
        while len(self._expired) > EXPIRED_TASKS:
            self._forget(self._expired.popleft())
        self.uploads.sweep()

    def keep(self) -> None:
        """Write all changes into the state file, or none. Do nothing if there is no file."""
        changes = self._changes
        changes.forgotten_uploads += self.uploads.forgotten()
        if self._file is not None:
            changed = [(self.tasks[name], self.ledger.entries[name]) for name in changes.tasks]
            self._file.write(changes, changed, self._account())
        self._changes = Changes()

    def _account(self) -> dict[str, Any]:
        ledger = self.ledger
        return {
            "clock_offset": self.clock.offset,
            "accepted": self.accepted,
            "initial": ledger.initial,
            "billed": ledger.billed,
            "refunded": ledger.refunded,
            "requests": asdict(ledger.requests),
        }

    def _load(self, file: StateFile) -> None:
        saved = file.load()
        self._changes = Changes()
        if not saved.account:
            return
        self.clock.restore(saved.account["clock_offset"])
        self.limiter = RateLimiter(self.settings.rate_limit, self.clock)  # uses the clock as it is now
        self.accepted = saved.account["accepted"]
        amounts = {name: saved.account[name] for name in ("initial", "billed", "refunded")}
        self.ledger = Ledger(**amounts, requests=Requests(**saved.account["requests"]))
        for task, entry in saved.tasks:
            self._remember(task, entry)
        for upload in saved.uploads:
            self.uploads.restore(upload)

    def _remember(self, task: Task, entry: Entry) -> None:
        self.tasks[task.id] = task
        self.ledger.entries[task.id] = entry
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
        self._changes.tasks.discard(generation_id)
        self._changes.forgotten_tasks.add(generation_id)
        business_id = task.submission.client_business_id
        if business_id:
            self._by_business_id[business_id].remove(task)
            if not self._by_business_id[business_id]:
                del self._by_business_id[business_id]

    def _latency(self, prompt: str) -> float:
        # By ordinal, not from one running generator, so that a latency does not depend on other tasks.
        draw = random.Random(f"{self.settings.seed}/{self.accepted}").gauss(0.0, 1.0)
        latency = self.settings.latency_median * math.exp(self.settings.latency_sigma * draw)
        return latency * 10 if "[slow]" in prompt else latency
