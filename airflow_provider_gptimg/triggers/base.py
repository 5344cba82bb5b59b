"""A trigger base class that holds events back until Airflow can take them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import ClassVar

from airflow.configuration import conf
from airflow.triggers.base import BaseTrigger

from airflow_provider_gptimg.compat.scheduler_heartbeat import beat_within, next_beat

EXIT_AND_LOOP = 5.0
"""Seconds for a worker to exit after its deferral, and for the scheduler to finish its loop."""


class HoldingTrigger(BaseTrigger):
    """A trigger that calls :meth:`settle` before it sends its event."""

    hold_back: ClassVar[float] = EXIT_AND_LOOP + conf.getfloat(
        "workers", "min_heartbeat_interval", fallback=5.0
    )
    """Seconds from the trigger's start to its earliest event, if the scheduler's heartbeat cannot be seen. If
    it can be seen, the trigger waits for the next heartbeat, up to three times as long.

    Airflow fails a task as "state changed externally" if it is queued again before the scheduler has handled
    the end of its first half (apache/airflow#66374). Two things delay the scheduler. About every seventh
    worker is seen to end only after another ``[workers] min_heartbeat_interval`` (5 s), because its
    supervisor just misses the end. Then the scheduler must finish its loop. A scheduler whose loop takes 30 s
    counts as dead.

    A triggerer cannot know it earlier. The scheduler writes nothing when it handles the end of a worker whose
    task is deferred, and the state of the task is "deferred" before and after."""

    @property
    def held_back_for(self) -> float:
        """Seconds from the start to the earliest event.

        ``dag.test()`` and ``airflow dags test`` run a trigger themselves, and there is no scheduler to wait
        for. They are recognized by the trigger's id, which only a triggerer sets.
        """
        return 0.0 if self.trigger_id is None else self.hold_back

    async def settle(self) -> None:
        """Wait until the scheduler has surely handled the end of the deferring worker."""
        most = self.held_back_for
        if most <= 0.0:
            return
        # Spread out, so that a thousand triggers do not ask all at once.
        seen_to_end = random.uniform(max(0.7 * most, most - 3.0), max(0.85 * most, most - 1.5))
        visible, _ = await asyncio.gather(beat_within(seen_to_end), asyncio.sleep(seen_to_end))
        if visible is None:
            await asyncio.sleep(most - seen_to_end)
            return
        # The worker has ended by now, so the next heartbeat is all that is left to wait for.
        with suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._beat(most - seen_to_end), 3 * most - seen_to_end)

    @staticmethod
    async def _beat(at_least: float) -> None:
        """Return after the next heartbeat; if the page is gone meanwhile, not before some seconds."""
        if not await next_beat():
            await asyncio.sleep(at_least)
