"""Child processes that always end: each in its own session, with its output in a file."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

PR_SET_PDEATHSIG = 1


class StartupError(RuntimeError):
    """A process did not come up; the message ends with what it printed last."""


class WaitTimeoutError(TimeoutError):
    """A condition did not come true in time; the message says what was seen instead."""


def free_port() -> int:
    """Return a TCP port on the loopback interface that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(
    probe: Callable[[], T | None],
    timeout: float,
    describe: Callable[[], str],
    interval: float = 0.1,
) -> T:
    """Call ``probe`` until it returns something true; raise with ``describe()`` when time is up."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"after {timeout:g} s: {describe()}")
        time.sleep(interval)


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a text file, or a note that there is none."""
    if not path.exists():
        return f"({path.name} does not exist)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def session_members(session_id: int) -> list[psutil.Process]:
    """Return every living process of a session, also those whose parent was killed.

    Airflow moves its children into process groups of their own, so a group is not enough. They never leave a
    session.
    """
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session_id and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of living processes so far, including their ended children."""
    spent = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def signal_all(processes: Iterable[psutil.Process], sig: int) -> None:
    """Send a signal to each process that is still alive."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(sig)


def _prepare_child(polite_signal: int) -> None:
    """Run in the child before its program, and make sure that it reacts to the signal to end."""
    # A shell makes its background jobs ignore Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":  # end together with the parent if that is killed and cannot stop its children
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, polite_signal)


class ManagedProcess:
    """A command in its own session; ``stop`` ends it with all its descendants."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        polite_signal: int = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._polite_signal = polite_signal
        self.log_file = log_file
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                env=env,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_prepare_child, polite_signal),  # noqa: PLW1509
            )
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its session."""
        return self._popen.pid

    def running(self) -> bool:
        """Tell whether the main process is alive."""
        return self._popen.poll() is None

    def wait(self) -> int:
        """Wait for a command that ends by itself and return its exit code."""
        code = self._popen.wait()
        atexit.unregister(self.stop)
        return code

    def members(self) -> list[psutil.Process]:
        """Return the process and its living descendants."""
        return session_members(self.pid)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines that the process printed."""
        return tail(self.log_file, lines)

    def kill(self, sig: int = signal.SIGKILL, *, descendants: bool = True) -> None:
        """Send a signal, by default to the whole session, as the end of a container does."""
        targets = self.members()
        if not descendants:
            targets = [process for process in targets if process.pid == self.pid]
        signal_all(targets, sig)
        if sig == signal.SIGKILL:
            self._await(targets, timeout=10)

    def stop(self, grace: float = 5.0) -> None:
        """End everything: politely first, by force after ``grace`` seconds."""
        self.terminate()
        self.finish(grace)

    def terminate(self) -> None:
        """Ask the process to end, without waiting, so that several can end in parallel."""
        self.kill(self._polite_signal, descendants=False)

    def finish(self, grace: float) -> None:
        """Wait for the process to end after ``terminate``; force it after ``grace`` seconds."""
        atexit.unregister(self.stop)
        self._await(self.members(), grace)
        # Members are looked up again each time, because a dying process may have started one.
        while members := self.members():
            signal_all(members, signal.SIGKILL)
            self._await(members, timeout=1)

    def _await(self, processes: list[psutil.Process], timeout: float) -> None:
        """Wait until the processes are gone. The main one is our child and must be reaped here."""
        deadline = time.monotonic() + timeout
        psutil.wait_procs([process for process in processes if process.pid != self.pid], timeout=timeout)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=max(0.1, deadline - time.monotonic()))
