"""Money and counts: what a test asks to learn what really happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from airflow_provider_gptimg.emulator.settings import MICRO

CREDITS_PER_DOLLAR = 200
"""Fixed (contract: What it cost)."""


@dataclass
class Entry:
    """One accepted submission's line; amounts in micro-dollars."""

    billed: int
    refunded: int = 0
    polls: int = 0

    @property
    def paid(self) -> int:
        """What the submission cost in the end, in micro-dollars."""
        return self.billed - self.refunded


@dataclass
class Requests:
    """Requests that arrived, by endpoint; ``rate_limited`` of them were answered 429.

    Every arrival counts, also one that a fault cut off before it was processed: the numbers say how
    often a client called, the submissions say what came of it.
    """

    submit: int = 0
    status: int = 0
    upload: int = 0
    download: int = 0
    rate_limited: int = 0

    def count(self, endpoint: str) -> None:
        """Add one to ``endpoint``."""
        setattr(self, endpoint, getattr(self, endpoint) + 1)


@dataclass
class Ledger:
    """The account: what it started with, what was billed and what was paid back."""

    initial: int
    billed: int = 0
    refunded: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    requests: Requests = field(default_factory=Requests)

    @property
    def used(self) -> int:
        """Money spent and not refunded, in micro-dollars."""
        return self.billed - self.refunded

    @property
    def balance(self) -> int:
        """Money left, in micro-dollars."""
        return self.initial - self.used

    def refund(self, generation_id: str) -> None:
        """Pay a failed generation back (contract: a failed task is refunded by the service)."""
        entry = self.entries[generation_id]
        self.refunded += entry.billed - entry.refunded
        entry.refunded = entry.billed

    def set_balance(self, amount: int) -> None:
        """Top the account up, or empty it, so that ``amount`` is left."""
        self.initial = amount + self.used


def dollars(micro: int) -> float:
    """Return micro-dollars as the dollars that are printed; exact in six decimals."""
    return micro / MICRO


def credits_of(micro: int) -> float:
    """Return micro-dollars as credits; whole where they are whole."""
    worth = micro * CREDITS_PER_DOLLAR
    return worth // MICRO if worth % MICRO == 0 else worth / MICRO


def as_text(amount: float) -> str:
    """Return an amount as the text that ``billing`` has: ``0.135``, ``27``, ``0``."""
    return f"{Decimal(str(amount)).normalize():f}"
