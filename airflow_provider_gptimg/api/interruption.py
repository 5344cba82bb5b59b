"""Ends what blocks a thread, from the signal handler that tells a process to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(BaseException):
    """The process is told to end. Not an ``Exception``: nothing that goes on after errors may go on."""


class Interruption:
    """Raises :class:`Interrupted` in a thread that waits.

    Python resumes a sleep or a read after a signal unless the handler raises. So the handler calls
    :meth:`set`, which raises where that is safe: inside :meth:`reaches`. Everywhere else the thread works
    on until it comes to such a place.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reached: int | None = None

    def set(self) -> None:
        """End the wait, now or as soon as the thread comes to one.

        :raises Interrupted: in the thread that waits, which is where signal handlers run.
        """
        self._is_set = True
        if self._reached == threading.get_ident():
            self.check()

    def check(self) -> None:
        """Go on only while nothing interrupts.

        :raises Interrupted: after :meth:`set`.
        """
        if self._is_set:
            raise Interrupted("Airflow ended the task while it waited.")

    @contextmanager
    def reaches(self) -> Iterator[None]:
        """Let the body of this ``with`` be interrupted at any point.

        :raises Interrupted: also at once, if it is set already.
        """
        before, self._reached = self._reached, threading.get_ident()
        try:
            self.check()
            yield
        finally:
            self._reached = before

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Let the body of this ``with`` come to its end inside of :meth:`reaches`."""
        before, self._reached = self._reached, None
        try:
            yield
        finally:
            self._reached = before
        if before is not None:
            self.check()
