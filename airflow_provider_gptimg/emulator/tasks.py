"""One accepted generation, and how it ages (contract: Status)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_gptimg.emulator.submission import Submission

LIFETIME = 86_400
"""Seconds that a result lives after completion: 24 hours (contract: Status)."""

QUEUED_SHARE = 0.15
"""The share of its time that a task spends in the queue."""


@dataclass(frozen=True)
class Task:
    """One accepted generation. Its state depends only on the clock.

    :param number: the number of generations accepted before it.
    :param accepted_at: Unix seconds, as is ``finishes_at``.
    :param seed: the emulator's seed when it was accepted; later settings do not change its pictures.
    """

    id: str
    submission: Submission
    key_tail: str
    accepted_at: float
    finishes_at: float
    fails: bool
    seed: int
    number: int

    def status(self, now: float) -> str:
        """Return ``queued``, ``in_progress``, ``completed`` or ``failed``."""
        if now >= self.finishes_at:
            return "failed" if self.fails else "completed"
        return "in_progress" if self.share(now) >= QUEUED_SHARE else "queued"

    def share(self, now: float) -> float:
        """Return the share of the task's time that has passed, 0 to 1."""
        latency = self.finishes_at - self.accepted_at
        return min(1.0, (now - self.accepted_at) / latency) if latency else 1.0

    def progress(self, now: float) -> int:
        """Return the percentage that the status shows: it moves while the task is in progress.

        A failed task shows 0 (contract: Status).
        """
        if now >= self.finishes_at:
            return 0 if self.fails else 100
        done = (self.share(now) - QUEUED_SHARE) / (1 - QUEUED_SHARE)
        return max(0, min(99, math.floor(100 * done)))

    @property
    def completed_at(self) -> int:
        """Unix seconds at which the result was ready; a whole number, as the service writes it."""
        return math.floor(self.finishes_at)

    @property
    def expires_at(self) -> int:
        """Unix seconds at which the result expires."""
        return self.completed_at + LIFETIME
