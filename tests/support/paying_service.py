"""A service in memory with a ledger: it can go wrong in every way, at any request."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.wire import Reply, Request
from tests.support.driving import Clock, fault, no_answer, no_connection, reply

TIMEOUT = 30.0
LIFETIME = 86_400.0

REFUSALS = (
    no_connection,
    lambda: fault("rate_limit_exceeded", 429),
    lambda: fault("rate_limit_exceeded", 429, retry_after="20"),
    lambda: fault("rate_limit_exceeded", 429, retry_after="5000"),
    lambda: fault("rate_limit_unavailable", 503),
    lambda: fault("invalid_request", 400),
    lambda: fault("unauthorized", 401),
    lambda: fault("insufficient_quota", 402),
    lambda: fault("content_policy_violation", 422),
    lambda: fault("model_not_found", 503),
)
"""Answers to a submission after which it surely was not accepted."""

LOST = (
    no_answer,
    lambda: fault("internal_error", 500),
    lambda: reply(b"<html>Bad Gateway</html>", 502),
    lambda: fault("service_unavailable", 503),
    lambda: reply(b"<html>welcome</html>"),
    lambda: reply(b""),
    lambda: reply(b'{"id": "task_'),
    lambda: reply({"message": "ok"}),
)
"""Answers after which nobody knows whether it was; a timeout comes first."""

DELAYS = (None, 0.0, 9.0, 40.0)
"""Behind a lost answer: never accepted, accepted at once, or so many seconds later."""

SUBMIT_FAULTS = [*REFUSALS, *((answer, delay) for answer in LOST for delay in DELAYS)]
QUERY_FAULTS = [
    *LOST,
    *REFUSALS[:5],
    lambda: fault("unauthorized", 401),
    lambda: reply(b"", 302),
    lambda: reply([]),
    lambda: fault(None, 403),
]


@dataclass
class Task:
    """A generation the service accepted, and so billed.

    :param shown_after: seconds between the end of its submission as the client saw it (an answer, or
        none) and the moment from which look-ups find it.
    """

    id: str
    business_id: str
    accepted_at: float
    done_at: float
    fails: bool
    shown_after: float

    def is_live(self, now: float) -> bool:
        """Whether paying for it again would be paying twice."""
        if self.fails:
            return now < self.done_at
        return now < self.done_at + LIFETIME


@dataclass
class Service:
    """The fake; ``faults`` are used up one a request, 0 is none.

    :param knows_ids: whether it looks tasks up by business id, and repeats it.
    :param lag: seconds after its acceptance from which the look-up finds a task.
    :param newest: whether the look-up returns the newest of several.
    :param outcomes: seconds each task takes, negative where it fails after them.
    :param on_accept: told of each task before it is in the ledger.
    """

    clock: Clock
    faults: Iterator[int]
    outcomes: Iterator[float]
    knows_ids: bool
    lag: float
    newest: bool
    on_accept: Callable[[Task], None]
    ledger: list[Task] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        """Answer a request; raises what a client would throw."""
        self.clock.now += 0.25
        number = next(self.faults, 0)
        if request.method == "POST":
            return self._submit(json.loads(request.body or b"")["client_business_id"], number)
        if number:
            return self._fail(QUERY_FAULTS[(number - 1) % len(QUERY_FAULTS)])
        return self._query(request.path.rpartition("/")[2])

    def _submit(self, business_id: str, number: int) -> Reply:
        if not number:
            return self._state(self._accept(business_id, 0.0))
        chosen = SUBMIT_FAULTS[(number - 1) % len(SUBMIT_FAULTS)]
        if callable(chosen):
            return self._fail(chosen)
        answer, delay = chosen
        if delay is not None:
            self._accept(business_id, delay, lost_after=TIMEOUT if answer is no_answer else 0.0)
        return self._fail(answer)

    def _fail(self, make: Callable[[], Reply | ApiError]) -> Reply:
        answer = make()
        if isinstance(answer, ApiError):
            self.clock.now += 0.0 if answer.not_accepted else TIMEOUT
            raise answer
        return answer

    def _accept(self, business_id: str, delay: float, lost_after: float = 0.0) -> Task:
        seconds = next(self.outcomes, 20.0)
        # "Later" counts from the moment at which the client stops waiting for the answer.
        accepted_at = self.clock.now + (delay + lost_after if delay else 0.0)
        task = Task(
            id=f"task_{len(self.ledger)}",
            business_id=business_id,
            accepted_at=accepted_at,
            done_at=accepted_at + abs(seconds),
            fails=seconds < 0,
            shown_after=(delay or -lost_after) + self.lag if self.knows_ids else math.inf,
        )
        self.on_accept(task)
        self.ledger.append(task)
        return task

    def _query(self, name: str) -> Reply:
        now = self.clock.now
        known = [task for task in self.ledger if task.id == name]
        if self.knows_ids:
            known += [t for t in self.ledger if t.business_id == name and t.accepted_at + self.lag <= now]
        return self._state(known[-1 if self.newest else 0]) if known else fault("task_not_found", 404)

    def _state(self, task: Task) -> Reply:
        now = self.clock.now
        body: dict[str, Any] = {"id": task.id, "created_at": task.accepted_at}
        if self.knows_ids:
            body["client_business_id"] = task.business_id
        if now < task.done_at:
            body["status"] = "queued" if now < task.accepted_at + 5 else "in_progress"
        elif task.fails:
            body |= {"status": "failed", "error": {"code": "generation_failed", "message": "no"}}
        else:
            body |= {
                "status": "completed",
                "completed_at": task.done_at,
                "expires_at": task.done_at + LIFETIME,
            }
            body["result"] = {"data": [{"url": f"https://x/{task.id}.png"}]}
        return reply(body, date=formatdate(now, usegmt=True))
