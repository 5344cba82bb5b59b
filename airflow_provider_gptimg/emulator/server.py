"""Runs the emulator: in the command line's own thread, or in the background of a test."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_gptimg.emulator.app import create_app
from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.emulator.settings import Settings
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.state_file import StateFile

if TYPE_CHECKING:
    from typing_extensions import Self

STARTUP_SECONDS = 30.0


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol, which gives its TCP connection to the faults that break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this only for sockets that report TCP. Without it every second answer on a kept-alive
        # connection waits 40 ms for the client's delayed acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """A uvicorn server that reports when it accepts connections, and ends quietly on a signal."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the server, and nothing else."""
        # uvicorn raises the signal again after its shutdown, which would end the process by it. A
        # SIGTERM is the usual way to stop the emulator and deserves exit code 0.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def build_server(emulator: Emulator, on_started: Callable[[], None]) -> Server:
    """Return a server for ``emulator``, to run on sockets from :func:`listen`."""
    config = uvicorn.Config(
        create_app(emulator),
        http=_Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,  # the date comes from the emulator's clock: see Dated
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,  # a hanging request is a fault, so do not wait for it
    )
    return Server(config, on_started)


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Open the listening socket and return it with the base URL; :class:`OSError` if that fails."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # "localhost" may be ::1 first, and then a client that uses 127.0.0.1 would find no server.
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.create_server(address[:2], family=family, backlog=2048)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return sock, f"http://{shown}:{sock.getsockname()[1]}"


class EmulatorServer(Remote):
    """An emulator in a background thread, on a free port of this machine.

    .. code-block:: python

        with EmulatorServer(latency_median=0.05) as emulator:
            requests.post(f"{emulator.base_url}/v1/images/generations", ...)
            assert emulator.ledger()["balance"] < 10

    :param settings: The fields of :class:`~airflow_provider_gptimg.emulator.settings.Settings`; the latency
        defaults to 0.05 s without spread, and the rate limit to ``off``, because tests should be fast.
    :param state: A file that keeps everything over a restart; default: nothing is kept.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: str | Path | None = None,
        **settings: object,
    ) -> None:
        chosen = Settings().changed(
            {"latency_median": 0.05, "latency_sigma": 0.0, "rate_limit": "off", **settings}
        )
        self._file = None if state is None else StateFile(state)
        self._emulator = Emulator(chosen, state_file=self._file)
        self._socket, base_url = listen(host, port)
        super().__init__(base_url)
        self._started = threading.Event()
        self._server = build_server(self._emulator, self._started.set)
        self._thread = threading.Thread(target=self._run, name="gptimg-emulator", daemon=True)

    def start(self) -> Self:
        """Start serving; returns once connections are answered."""
        self._thread.start()
        if not self._started.wait(STARTUP_SECONDS):
            raise RuntimeError("the emulator did not start")
        return self

    def stop(self) -> None:
        """End the server and its thread; open connections are dropped."""
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join(STARTUP_SECONDS)
        self._socket.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
