"""The trigger that waits for one generation, on the triggerer's event loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pendulum
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.errors import LIVES, ApiError, Kind
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.polling.schedule import Course
from airflow_provider_gptimg.api.prices import DEFAULT_PRICES
from airflow_provider_gptimg.compat.xcom import prepare, push_result
from airflow_provider_gptimg.exceptions import GptImgValidationError, named
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.hooks.metrics import Metrics
from airflow_provider_gptimg.triggers.base import HoldingTrigger

_STATUS = {Kind.FAILED: "failed", Kind.TIMEOUT: "timeout"}


class GptImgGenerationTrigger(HoldingTrigger):
    """Sends one event when a generation is finished, or can no longer be watched.

    The event is ``{"status": "completed" | "failed" | "timeout" | "error", "generation_id": str}``.
    Unless the status is completed, it also has ``reason`` (a code) and ``message``. The trigger only reads,
    so it may run twice (several triggerers, restarts).

    :param generation_id: the generation to wait for.
    :param conn_id: the connection, of type ``gptimg``.
    :param poll_interval: seconds between two looks.
    :param deadline: Unix seconds. At the deadline the trigger looks one last time.
    :param exponential_backoff: double the interval after each look.
    :param max_wait: the most seconds between two looks.
    :param end_task: if possible, end the task here, without resuming it on a worker.
    :param kind: the kind of generation, such as ``gpt-image-2/2K/1`` (model, resolution, n). One kind takes
        about the same time, so triggers of one kind share what they learn about when to look. None: all
        generations without a kind share it.
    :param submitted_at: the time of the submission, in Unix seconds. If the service does not know the
        generation in the first minute after it, the trigger asks again. None: the time is not known.
    """

    first_look_after: ClassVar[float] = 5.0
    """Seconds before the first look of a trigger that ends its task, as the service advises (contract:
    Status). Other triggers look first when they may send an event, or later if they learned that this is too
    early."""

    def __init__(
        self,
        *,
        generation_id: str,
        conn_id: str = GptImgHook.default_conn_name,
        poll_interval: float = 5.0,
        deadline: float,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        end_task: bool = False,
        kind: str | None = None,
        submitted_at: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generation_id = generation_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.end_task = end_task
        self.kind = kind
        self.submitted_at = submitted_at
        self._prices = DEFAULT_PRICES  # until the connection is read

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the keyword arguments, all JSON scalars, without key or prompt."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "generation_id": self.generation_id,
                "conn_id": self.conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "exponential_backoff": self.exponential_backoff,
                "max_wait": self.max_wait,
                "end_task": self.end_task,
                "kind": self.kind,
                "submitted_at": self.submitted_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        settled = asyncio.create_task(self.settle())
        try:
            generation, event = await self._watch()
            if generation and self.end_task and await self._ends_its_task(generation):
                yield TaskSuccessEvent()  # at once: a task that is not queued again is safe
                return
            await settled
        finally:
            settled.cancel()
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _ends_its_task(self, generation: Generation) -> bool:
        result = await push_result(self.task_instance, generation, self.log, self._prices)
        if result is None:
            return False
        Metrics(self.task_instance).given(result)
        return True

    async def on_kill(self) -> None:
        """Log what happens to the generation, which cannot be cancelled (contract: Status)."""
        self.log.warning(
            "The task no longer waits for generation %s. It was accepted and billed, and cannot be "
            "cancelled. You can fetch its images with this id for %s after it is completed.",
            self.generation_id,
            LIVES,
        )

    async def _watch(self) -> tuple[Generation | None, dict[str, Any]]:
        began = time.time()
        until = pendulum.from_timestamp(self.deadline).to_iso8601_string()
        self.log.info(
            "Waiting for generation %s in the triggerer, until %s at most.", self.generation_id, until
        )
        # Spread out, so that a map of tasks, or a triggerer that takes a thousand over, does not do
        # everything at once. What they share is prepared meanwhile.
        pause = min(self.first_look_after, self.held_back_for, self.deadline - began)
        hook = GptImgHook(self.conn_id)
        if self.end_task:
            prepare(self.task_instance)
        try:
            await asyncio.gather(hook.read_connection(), asyncio.sleep(pause * random.uniform(0.4, 1.0)))
            async with hook.async_client() as client:
                self._prices = client.prices
                pace = Pace(self.poll_interval, self.exponential_backoff, self.max_wait)
                course = Course(
                    client.schedules.of(self.kind),
                    self.poll_interval,
                    time.time,
                    since=began,
                    advise=pace.is_advisable,
                )
                generation = await client.run(
                    flows.wait(
                        self.generation_id,
                        pace=pace,
                        deadline=self.deadline,
                        clock=time.time,
                        submitted_at=self.submitted_at,
                        first_look_after=self._first_look(course, time.time() - began),
                        course=course,
                        on_unknown_status=hook.log_unknown_status(self.generation_id),
                        on_failed_look=hook.log_failed_look(self.generation_id),
                    )
                )
        except ApiError as error:
            return None, self._event(_STATUS.get(error.kind, "error"), error.kind.value, str(error))
        except GptImgValidationError as error:
            # `airflow dags test` of Airflow 3.2: its triggers do not see connections of the database.
            self.log.warning("Generation %s cannot be watched from here: %s", self.generation_id, error)
            return None, self._event("error", Kind.INVALID.value, str(named(error, self.generation_id)))
        except Exception as error:
            # Not raised: a trigger that dies resumes its task at once, inside the window that
            # `hold_back` keeps clear.
            self.log.exception("Waiting for generation %s failed.", self.generation_id)
            return None, self._event("error", Kind.UNREACHABLE.value, str(named(error, self.generation_id)))
        return generation, self._event("completed")

    def _first_look(self, course: Course, gone: float) -> float:
        """Return the seconds until the first look, so many after the start."""
        # Unless the task is ended from here, what is seen earlier would only be held back.
        held_back = self.held_back_for
        needed = min(self.first_look_after, held_back) if self.end_task else held_back
        return max(needed * random.uniform(0.8, 1.0) - gone, course.pause() or 0.0)

    def _event(self, status: str, reason: str | None = None, message: str | None = None) -> dict[str, Any]:
        event = {"status": status, "generation_id": self.generation_id}
        return event if reason is None else {**event, "reason": reason, "message": message}
