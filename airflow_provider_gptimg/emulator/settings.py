"""The emulator's settings: chosen at the start, and changed while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from airflow_provider_gptimg.emulator.limits import GROUPS
from airflow_provider_gptimg.emulator.models import SIZE_TABLES
from airflow_provider_gptimg.emulator.shapes import Shape, shape_of

MICRO = 1_000_000
"""Micro-dollars per dollar: money is counted in whole micro-dollars, so it adds up exactly."""

MAX_BALANCE = 10**9


@dataclass(frozen=True)
class Settings:
    """The emulator's settings. Each is a command line option, and most can be changed at runtime.

    :param seed: Decides the pictures, the latencies and which requests a fault with a probability hits.
    :param latency_median: Median time from acceptance to completion, in seconds.
    :param latency_sigma: Spread of the log-normal latency; 0 makes every task take the median.
    :param rate_limit: The account's group: ``default``, ``vip``, ``svip``, or ``off``.
    :param balance: Money in the account at the start, in dollars.
    :param lookup_lag: How long after acceptance a task stays invisible to a look-up by its
        ``client_business_id``, in seconds (contract: Finding a task again, "assume seconds").
    :param ignore_business_id: Behave like a service that does not know ``client_business_id``.
    :param strict_user_agent: Answer 403 to an empty or library-default ``User-Agent`` (contract: Base
        and auth). Off by default, so that any HTTP client can drive the emulator.
    :param size_table: ``standard``, or ``full`` for an account that is offered all 13 ratios at every
        resolution (contract: Submit, "Newer tables").
    :param shapes: Names of other shapes of answers that have been seen; the page of the emulator lists them.
        If two change the same thing, the later wins.
    """

    seed: int = 0
    latency_median: float = 4.0
    latency_sigma: float = 0.35
    rate_limit: str = "default"
    balance: float = 10.0
    lookup_lag: float = 0.0
    ignore_business_id: bool = False
    strict_user_agent: bool = False
    size_table: str = "standard"
    shapes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, limit in (
            ("latency_median", 86_400.0),
            ("latency_sigma", 5.0),
            ("balance", float(MAX_BALANCE)),
            ("lookup_lag", 86_400.0),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= limit):
                raise ValueError(f"{name} must be a number from 0 to {limit:.0f}, not {value}")
        if self.rate_limit not in GROUPS:
            raise ValueError(f"rate_limit must be one of {', '.join(GROUPS)}, not {self.rate_limit!r}")
        if self.size_table not in SIZE_TABLES:
            raise ValueError(f"size_table must be one of {', '.join(SIZE_TABLES)}, not {self.size_table!r}")
        if isinstance(self.shapes, str):
            raise ValueError(f"shapes must be a list of names, not the text {self.shapes!r}")
        object.__setattr__(self, "shapes", tuple(self.shapes))  # so that nobody can change it now
        _ = self.shape  # refuses names that do not exist

    @cached_property
    def shape(self) -> Shape:
        """How answers are written."""
        return shape_of(self.shapes)

    @property
    def balance_micro(self) -> int:
        """The starting balance in micro-dollars."""
        return to_micro(self.balance)

    def changed(self, changes: dict[str, Any]) -> Settings:
        """Return a copy with ``changes``; :class:`ValueError` if one of them is impossible."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return every setting by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def to_micro(dollars: float | str) -> int:
    """Turn dollars into whole micro-dollars, through their shortest decimal notation."""
    try:
        return int((Decimal(str(dollars)) * MICRO).to_integral_value())
    except InvalidOperation as error:
        raise ValueError(f"not an amount of money: {dollars!r}") from error
