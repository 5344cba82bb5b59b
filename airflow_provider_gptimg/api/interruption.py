"""Ends a blocking wait of a thread, from the signal handler that ends the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(BaseException):
    """The process must end. Not an ``Exception``, so that no code catches it and goes on."""


class Interruption:
    """Raises :class:`Interrupted` in a waiting thread.

    Python resumes a sleep or a read after a signal unless the handler raises. So the handler calls
    :meth:`set`, which raises only where it is safe: inside :meth:`reaches`. Elsewhere the thread works on
    until it enters :meth:`reaches`.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reached: int | None = None

    def set(self) -> None:
        """End the wait, now or as soon as the thread begins one.

        :raises Interrupted: in the thread that waits, which is where signal handlers run.
        """
        self._is_set = True
        if self._reached == threading.get_ident():
            self.check()

    def check(self) -> None:
        """Go on only if there was no interruption.

        :raises Interrupted: after :meth:`set`.
        """
        if self._is_set:
            raise Interrupted("Airflow ended the task while it waited.")

    @contextmanager
    def reaches(self) -> Iterator[None]:
        """Allow an interruption at any point in the body of this ``with``.

        :raises Interrupted: also at once, if it is already set.
        """
        before, self._reached = self._reached, threading.get_ident()
        try:
            self.check()
            yield
        finally:
            self._reached = before

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Let the body of this ``with`` run to its end, even inside :meth:`reaches`."""
        before, self._reached = self._reached, None
        try:
            yield
        finally:
            self._reached = before
        if before is not None:
            self.check()
