"""Checks of operator parameters that take no templates, made when a DAG is parsed."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import PurePath
from typing import Any, TypeVar

T = TypeVar("T")


def one_of(name: str, value: T, allowed: tuple[object, ...]) -> T:
    """Return a value if it is allowed.

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


def age(name: str, value: timedelta | None) -> timedelta | None:
    """Return a time span above 0, or None.

    :raises ValueError: naming the parameter and the value.
    """
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise ValueError(f"{name}={value!r} is not allowed: a timedelta above 0.")
    return value


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
    """Return a whole number that is at least ``least``.

    :raises ValueError: naming the parameter and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r} is not allowed: a whole number, at least {least}.")
    return value


def templated(value: object) -> Any:
    """Return a value for a template field, with paths as text. Before it is rendered it may have any type.

    Airflow 3.0 and 3.1 try to resolve a ``Path``, and fail if it does not exist yet.
    """
    if isinstance(value, PurePath):
        return str(value)
    return [templated(part) for part in value] if isinstance(value, (list, tuple)) else value
