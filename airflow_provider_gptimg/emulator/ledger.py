"""Money and counts, from which a test learns what really happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from airflow_provider_gptimg.emulator.settings import MICRO

CREDITS_PER_DOLLAR = 200
"""Fixed (contract: What it cost)."""


@dataclass
class Entry:
    """The line of one accepted submission; amounts in micro-dollars."""

    billed: int
    refunded: int = 0
    polls: int = 0

    @property
    def paid(self) -> int:
        """The final cost of the submission, in micro-dollars."""
        return self.billed - self.refunded


@dataclass
class Requests:
    """Requests that arrived, by endpoint; ``rate_limited`` of them were answered 429.

    Every arrival counts, even if a fault cut it off before it was processed. The numbers say how often a
    client called; the submissions say with what result.
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
    """The account: its starting balance, what was billed and what was refunded."""

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
        """Refund a failed generation (contract: a failed task is refunded by the service)."""
        entry = self.entries[generation_id]
        self.refunded += entry.billed - entry.refunded
        entry.refunded = entry.billed

    def set_balance(self, amount: int) -> None:
        """Top the account up, or empty it, so that ``amount`` is left."""
        self.initial = amount + self.used


def dollars(micro: int) -> float:
    """Return micro-dollars as dollars for output, exact to six decimals."""
    return micro / MICRO


def credits_of(micro: int) -> float:
    """Return micro-dollars as credits, as an integer if they are whole."""
    worth = micro * CREDITS_PER_DOLLAR
    return worth // MICRO if worth % MICRO == 0 else worth / MICRO


def as_text(amount: float) -> str:
    """Return an amount as text, as in ``billing``: ``0.135``, ``27``, ``0``."""
    return f"{Decimal(str(amount)).normalize():f}"
