"""A server of raw bytes on a real socket: each connection is handed to a function that does its worst."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket], None]


@dataclass
class Received:
    """A request as it came over the wire."""

    head: str
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split("\r\n", 1)[0]

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}


@dataclass
class RawService:
    """What the server got; ``connections`` counts also those that sent nothing."""

    url: str
    received: list[Received] = field(default_factory=list)
    connections: int = 0


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole HTTP answer."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def says(*parts: bytes, then_close: bool = True) -> Behaviour:
    """Return a behaviour that sends these bytes and closes, or keeps the connection for more."""

    def behave(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        if then_close:
            connection.close()

    return behave


def resets(*parts: bytes) -> Behaviour:
    """Return a behaviour that sends these bytes and resets the connection."""

    def behave(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return behave


def repeats(start: bytes, part: bytes, pause: float = 0.0, seconds: float = 20.0) -> Behaviour:
    """Return a behaviour that sends a part again and again."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            connection.sendall(part)
            time.sleep(pause)

    return behave


def hangs(*parts: bytes) -> Behaviour:
    """Return a behaviour that sends these bytes and nothing more, without closing."""
    return repeats(b"".join(parts), b"", pause=0.05)


@contextmanager
def raw_service(behave: Behaviour, *, reads: bool = True) -> Iterator[RawService]:
    """Serve a behaviour, once for each request; without ``reads`` as soon as a connection is there."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    service = RawService(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_ones: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while not reads or read_request(connection, service):
                behave(connection)
                if not reads:
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                service.connections += 1
                open_ones.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield service
    finally:
        for connection in (listener, *open_ones):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def read_request(connection: socket.socket, service: RawService) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    received = Received(head.decode("latin-1"), body)
    length = int(received.headers.get("content-length", 0))
    while len(received.body) < length:
        received.body += connection.recv(65_536)
    service.received.append(received)
    return True
