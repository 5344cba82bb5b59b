"""The record of what was paid for. It has the same form wherever it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The latest generation that an identity has paid for.

    :param generation_id: the service's id for it.
    :param ordinal: its number among the generations of its identity, from 1. The earlier ones failed at the
        service, which refunds them, or their images have expired.
    :param submissions: how many times the identity has paid, or may have paid.
    :param submitted_at: Unix seconds by our clock, from which the time limit counts; None if unknown.
    """

    generation_id: str
    ordinal: int = 1
    submissions: int = 1
    submitted_at: float | None = None

    @classmethod
    def read(cls, stored: object) -> Receipt | None:
        """Return a receipt from its stored JSON; None if it names no generation. Unknown keys are ignored."""
        if not isinstance(stored, Mapping) or not isinstance(stored.get("generation_id"), str):
            return None
        return cls(**{name: stored[name] for name in NAMES if name in stored})

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as a plain dict."""
        return asdict(self)


NAMES = tuple(field.name for field in fields(Receipt))
"""The keys of a stored receipt."""
