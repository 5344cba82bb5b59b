"""A private PostgreSQL server: made in a temporary directory, removed afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path

from dev.processes import ManagedProcess, StartupError, free_port, tail, wait_until

DEBIAN_BINARIES = Path("/usr/lib/postgresql")
"""Debian and Ubuntu keep initdb and postgres out of PATH, one directory per version."""

UNPRIVILEGED_USER = "postgres"
"""PostgreSQL refuses to run as root; its packages create this user."""

DRIVERS = ("psycopg2", "asyncpg")
"""Airflow's drivers for PostgreSQL."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",  # the data lives for one test run
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def find_binary(name: str) -> Path | None:
    """Return the path of a PostgreSQL program, the newest version first."""
    newest_first = sorted(
        DEBIAN_BINARIES.glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]), reverse=True
    )
    if newest_first:
        return newest_first[0]
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def _server_user() -> str | None:
    """Return the user to run as, None to stay the current one; raise LookupError if there is no such user."""
    if os.geteuid() != 0:
        return None
    pwd.getpwnam(UNPRIVILEGED_USER)
    return UNPRIVILEGED_USER


def available() -> bool:
    """Tell whether this machine can start a server, and Airflow can connect to it."""
    try:
        _server_user()
    except KeyError:
        return False
    return all(map(find_binary, ("initdb", "postgres"))) and all(map(find_spec, DRIVERS))


class PostgresServer:
    """Context manager: a server on a free port with one empty database."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"
        self._server: ManagedProcess | None = None

    def __enter__(self) -> PostgresServer:
        self._user = _server_user()
        # root's TMPDIR may be closed to others, but /tmp never is
        self._home = Path(tempfile.mkdtemp(prefix="gptimg-pg-", dir="/tmp" if self._user else None))
        if self._user:
            shutil.chown(self._home, self._user)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self) -> None:
        data = self._home / "data"
        creation = self._launch(
            "initdb", "-D", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        if creation.wait():
            raise StartupError(f"initdb failed:\n{creation.tail()}")
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._server = self._launch("postgres", "-D", data, "-p", self.port, "-k", self._home, *settings)
        log = self._server.log_file
        wait_until(self._answers, 30, lambda: f"PostgreSQL does not answer:\n{tail(log)}")

    def _answers(self) -> bool:
        server = self._server
        if server is None or not server.running():
            raise StartupError(f"PostgreSQL ended:\n{server.tail() if server else ''}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            # the socket opens before the server accepts queries; its pid file says when it does
            return "ready" in (self._home / "data" / "postmaster.pid").read_text()
        return False

    def _launch(self, program: str, *arguments: object) -> ManagedProcess:
        binary = find_binary(program)
        if binary is None:
            raise StartupError(f"PostgreSQL's {program} is not installed")
        return ManagedProcess(
            program,
            [str(binary), *map(str, arguments)],
            self._home / f"{program}.log",
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=self._user,
        )
