"""Ends a blocking call that takes too long in total, although each read is quick enough."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any


class Watchdog:
    """Holds the connection of a client that makes one call at a time, and ends it if necessary.

    An event loop can cancel a call. A thread that reads cannot be stopped, but its connection can.
    """

    def __init__(self) -> None:
        self._connection: socket.socket | None = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember a new connection. httpcore calls this (request extension ``trace``)."""
        if event.endswith("connect_tcp.complete"):
            self.close()
            # A duplicate, because TLS detaches the socket from its object.
            self._connection = info["return_value"].get_extra_info("socket").dup()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """End the connection if the body of this ``with`` takes longer."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException:
            self.close()  # nobody reads on after an error, so tell the other end
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close our handle of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _end(self) -> None:
        connection = self._connection
        if connection is not None:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
