"""Checks of operator parameters that no template can change, made when a DAG is parsed."""

from __future__ import annotations

import math
from typing import Any, TypeVar

T = TypeVar("T")


def one_of(name: str, value: T, allowed: tuple[object, ...]) -> T:
    """Return a value if it is an allowed one.

    :raises ValueError: naming the parameter, the value and what is allowed.
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not allowed: {', '.join(map(repr, allowed))}.")
    return value


def seconds(name: str, value: float) -> float:
    """Return a number of seconds above 0.

    :raises ValueError: naming the parameter and the value.
    """
    return _above_zero(name, value, "seconds")


def dollars(name: str, value: float) -> float:
    """Return a number of US dollars above 0.

    :raises ValueError: naming the parameter and the value.
    """
    return _above_zero(name, value, "US dollars")


def _above_zero(name: str, value: float, unit: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name}={value!r} is not allowed: a number of {unit} above 0.")
    return float(value)


def count(name: str, value: int, *, least: int) -> int:
    """Return a whole number that is at least so many.

    :raises ValueError: naming the parameter and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r} is not allowed: a whole number, at least {least}.")
    return value


def templated(value: object) -> Any:
    """Return a value as the type that it has once it is rendered: until then it may be a template."""
    return value
