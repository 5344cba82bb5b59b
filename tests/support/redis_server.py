"""A Redis server of its own, for tests that need a broker: made in a temporary directory, gone afterwards."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.processes import ManagedProcess, StartupError, free_port, wait_until

BINARY = shutil.which("redis-server")


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """Start a server that keeps nothing on disk, and return its URL."""
    assert BINARY, "ask BINARY first"
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(home))
    process = ManagedProcess("redis", [BINARY, *options], home / "redis.log")

    def answers() -> bool:
        if not process.running():
            raise StartupError(f"redis-server ended:\n{process.tail()}")
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
        return False

    try:
        wait_until(answers, 30, process.tail)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.stop()
