"""Rate limits: two token buckets per account (contract: Rate limits)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_gptimg.emulator.clock import Clock

SUBMIT = "async_submit"
QUERY = "async_query"


@dataclass(frozen=True)
class Rate:
    """One limit of a group: ``per_minute`` on average, and at most ``burst`` at once."""

    per_minute: int
    burst: int

    @property
    def per_second(self) -> float:
        """Tokens that come back per second."""
        return self.per_minute / 60


GROUPS: dict[str, dict[str, Rate]] = {
    "default": {SUBMIT: Rate(300, 50), QUERY: Rate(3_000, 500)},
    "vip": {SUBMIT: Rate(1_000, 167), QUERY: Rate(10_000, 1_667)},
    "svip": {SUBMIT: Rate(2_000, 334), QUERY: Rate(30_000, 5_000)},
    "off": {},
}
"""The groups of the contract, and ``off``, which limits nothing."""


@dataclass(frozen=True)
class Decision:
    """Whether a call may go ahead, and the headers of its answer in both cases."""

    allowed: bool
    headers: dict[str, str]


class Bucket:
    """A token bucket: full at the start, one token per accepted call, refilled continuously."""

    def __init__(self, rate: Rate, category: str, clock: Clock) -> None:
        self._rate = rate
        self._category = category
        self._clock = clock
        self._tokens = float(rate.burst)
        self._updated = clock.now()

    def take(self) -> Decision:
        """Take a token if there is one; a call that is refused takes nothing (contract: does not count)."""
        now = self._clock.now()
        refill = max(0.0, now - self._updated) * self._rate.per_second
        self._tokens = min(self._rate.burst, self._tokens + refill)
        self._updated = now
        allowed = self._tokens >= 1
        if allowed:
            self._tokens -= 1
        return Decision(allowed, self._headers(allowed, now))

    def _headers(self, allowed: bool, now: float) -> dict[str, str]:
        # The contract names the headers but not their units. The choice here: Limit is how many tokens can be
        # spent at once, Reset the Unix second at which the bucket is full again.
        until_full = (self._rate.burst - self._tokens) / self._rate.per_second
        headers = {
            "X-RateLimit-Limit": str(self._rate.burst),
            "X-RateLimit-Remaining": str(math.floor(self._tokens)),
            "X-RateLimit-Reset": str(math.ceil(now + until_full)),
            "X-RateLimit-Category": self._category,
        }
        if not allowed:
            wait = (1 - self._tokens) / self._rate.per_second
            headers["Retry-After"] = str(max(1, math.ceil(wait)))
        return headers


class RateLimiter:
    """The account's buckets; all keys share them (contract: limits belong to the account)."""

    def __init__(self, group: str, clock: Clock) -> None:
        self._buckets = {category: Bucket(rate, category, clock) for category, rate in GROUPS[group].items()}

    def take(self, category: str) -> Decision:
        """Ask for one call of ``category`` (:data:`SUBMIT` or :data:`QUERY`)."""
        bucket = self._buckets.get(category)
        return bucket.take() if bucket else Decision(True, {})
