"""Drives a flow by hand: scripted answers, a clock that only sleeping moves, and a record of it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Flow, Send, Sleep
from airflow_provider_gptimg.api.wire import Reply, Request

START = 1_790_000_000.0
"""Unix seconds at which stories begin."""

Answer = Reply | ApiError | Callable[[Request, float], "Reply | ApiError"]


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Story:
    """What a flow did: its requests and sleeps, each with the seconds since the start, and its end."""

    sent: list[tuple[float, Request]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    result: Any = None
    error: ApiError | None = None

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.sent]

    @property
    def methods(self) -> list[str]:
        return [request.method for _, request in self.sent]

    @property
    def paths(self) -> list[str]:
        return [request.path for _, request in self.sent]

    @property
    def kind(self) -> Kind | None:
        return self.error.kind if self.error else None


def reply(body: Any = None, status: int = 200, **headers: str) -> Reply:
    """Return an answer; ``retry_after="3"`` becomes the header ``retry-after``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def fault(code: str | None, status: int, message: str = "said so", **headers: str) -> Reply:
    """Return an error answer in the service's envelope."""
    return reply({"error": {"code": code, "message": message, "type": "x"}}, status, **headers)


def no_connection() -> ApiError:
    """Return what a client throws when no connection came about."""
    return ApiError(Kind.UNREACHABLE, "connection refused", not_accepted=True)


def no_answer() -> ApiError:
    """Return what a client throws when a request was sent and no answer came."""
    return ApiError(Kind.UNREACHABLE, "timed out")


def drive(
    flow: Flow[Any], answers: Iterable[Answer], clock: Clock, *, then: Answer | None = None, took: float = 0.0
) -> Story:
    """Drive a flow to its end; each request takes ``took`` seconds.

    Running out of answers, or a script that is not used up, is a failure of the test.

    :param then: the answer after the script, for as long as it is asked for.
    """
    story, script = Story(), list(answers)
    give: Reply | ApiError | None = None
    try:
        step = next(flow)
        while True:
            give = None
            if isinstance(step, Sleep):
                assert step.seconds >= 0
                story.slept.append(step.seconds)
                clock.now += step.seconds
            else:
                assert isinstance(step, Send)
                story.sent.append((round(clock.now - START, 6), step.request))
                clock.now += took
                answer = script.pop(0) if script else then
                assert answer, f"no answer is scripted for request {len(story.sent)}: {step.request}"
                give = answer(step.request, clock.now) if callable(answer) else answer
            step = flow.throw(give) if isinstance(give, ApiError) else flow.send(give)
    except StopIteration as end:
        story.result = end.value
    except ApiError as error:
        story.error = error
    assert not script, f"{len(script)} scripted answers were never asked for; sent {story.paths}"
    return story
