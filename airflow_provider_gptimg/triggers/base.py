"""Triggers whose events come no sooner than Airflow can take them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_gptimg.compat.scheduler_heartbeat import beat_within, next_beat


class HoldingTrigger(BaseTrigger):
    """A trigger that waits with :meth:`settle` before it sends its event."""

    hold_back: ClassVar[float] = 10.0
    """Seconds after its start before which there is no event, and up to three times as many while the
    scheduler has no heartbeat. A task that is queued again before the scheduler has handled the end of
    its first half is failed as "state changed externally" (apache/airflow#66374). Two things delay
    that: every seventh worker or so is seen to end only after another ``[workers]
    min_heartbeat_interval`` (5 s; its supervisor just misses it), and then the scheduler's loop has to
    come round. A scheduler whose loop takes 30 s counts as dead."""

    async def settle(self) -> None:
        """Wait until the scheduler has surely handled the end of the worker that deferred."""
        # Spread out, so that a thousand triggers do not ask all at once.
        seen_to_end = self.hold_back * random.uniform(0.7, 0.85)
        visible, _ = await asyncio.gather(beat_within(seen_to_end), asyncio.sleep(seen_to_end))
        held_back = asyncio.sleep(self.hold_back - seen_to_end)
        if visible is None:
            await held_back
            return
        with suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.gather(held_back, asyncio.wait_for(next_beat(), 3 * self.hold_back - seen_to_end))
