"""The death of a process, at any step of what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process is dead."""


class Death:
    """Strikes at a step, before or after what is done there; from then on nothing is done any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps_left = 0
        self._kind = ""
        self._after = False
        self._dead = False

    def be_due(self, steps: int, *, after: bool, kind: str = "") -> None:
        """Strike in so many steps; 0 is never.

        :param kind: which steps count; empty for all.
        """
        self._steps_left, self._kind, self._after, self._dead = steps, kind, after, False

    def before(self, kind: str = "", half: Callable[[], object] = lambda: None) -> bool:
        """Take a step; return whether it is the last one.

        :param half: what is done of the step if death strikes before its end.
        """
        with self._lock:
            counts = self._kind in ("", kind)
            self._steps_left -= counts
            is_last = counts and self._steps_left == 0
            if is_last and not self._after and not self._dead:
                self._dead = True
                half()
            if self._dead:
                raise Killed
            return is_last

    def after(self, is_last: bool) -> None:
        """End a step."""
        with self._lock:
            self._dead = self._dead or is_last
        if self._dead:
            raise Killed

    def step(self) -> None:
        """Take a step in which nothing else is done."""
        self.after(self.before())

    def during(self, do: Callable[..., Any], half: Callable[..., Any] = lambda *given: None) -> Any:
        """Return a function or method that does the same, as a step."""

        def mortal(*given: Any, **named: Any) -> Any:
            is_last = self.before(getattr(do, "__name__", ""), lambda: half(*given))
            done = do(*given, **named)
            self.after(is_last)
            return done

        return mortal
