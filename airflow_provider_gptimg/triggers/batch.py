"""The trigger of a batch: waits until enough generations are finished to start a worker again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import AsyncClient
from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.polling.schedule import Course
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.triggers.base import HoldingTrigger


class GptImgBatchTrigger(HoldingTrigger):
    """Sends one event when enough generations of a batch are finished, or can no longer be watched.

    The event is ``{"status": "ready", "over": int}``. The batch itself asks for the state of each generation.
    The trigger only reads, so it may run twice.

    :param generation_ids: some of the generations in flight. All of a batch would make a large row.
    :param conn_id: the connection, of type ``gptimg``.
    :param poll_interval: seconds between two looks at each generation.
    :param deadline: Unix seconds.
    :param enough: the number of generations that must be finished.
    :param kind: see :class:`~airflow_provider_gptimg.triggers.generation.GptImgGenerationTrigger`.
    """

    def __init__(
        self,
        *,
        generation_ids: list[str],
        conn_id: str,
        poll_interval: float,
        deadline: float,
        enough: int,
        kind: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generation_ids = generation_ids
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.enough = enough
        self.kind = kind

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the keyword arguments, all JSON, without key or prompt."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "generation_ids": self.generation_ids,
                "conn_id": self.conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "enough": self.enough,
                "kind": self.kind,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        over, _ = await asyncio.gather(self._watch(), self.settle())
        yield TriggerEvent({"status": "ready", "over": over})  # type: ignore[no-untyped-call]

    async def _watch(self) -> int:
        try:
            async with GptImgHook(self.conn_id).async_client() as client:
                waits = [asyncio.create_task(self._wait(client, name)) for name in self.generation_ids]
                try:
                    for number, wait in enumerate(asyncio.as_completed(waits), start=1):
                        await wait
                        if number >= self.enough:
                            return number
                finally:
                    for task in waits:
                        task.cancel()
        except Exception as error:  # noqa: BLE001 - a trigger that dies resumes its task at once, unsettled
            # The worker meets it too, and says so in the task's log.
            self.log.warning("The batch cannot be watched: %s", error)
        return 0

    async def _wait(self, client: AsyncClient, generation_id: str) -> None:
        began = time.time()
        course = Course(client.schedules.of(self.kind), self.poll_interval, time.time, since=began)
        try:
            await client.run(
                flows.wait(
                    generation_id,
                    pace=Pace(self.poll_interval),
                    deadline=self.deadline,
                    clock=time.time,
                    first_look_after=self.poll_interval * random.uniform(0.5, 1.0),
                    course=course,
                )
            )
        except ApiError as error:
            self.log.info("No longer waiting for generation %s: %s", generation_id, error)
