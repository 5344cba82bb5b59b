"""A real Airflow, started as separate processes in one home directory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from dev.airflow_api import AirflowApi
from dev.airflow_env import airflow_environment
from dev.processes import (
    ManagedProcess,
    StartupError,
    cpu_seconds,
    free_port,
    signal_all,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

PROVIDER = ("airflow_provider_gptimg.operators.batch", "airflow_provider_gptimg.operators.generate")
"""What to preload, as docs/scale.md advises."""

LOG_SERVERS = ("scheduler", "triggerer", "celery worker")


class AirflowStack:
    """Context manager: a running Airflow that a test or the demo has to itself.

    Every component is a separate process that can be killed and restarted by name. With ``standalone=True``
    one ``airflow standalone`` runs them all instead. ``api`` shows it from outside. The database is an SQLite
    file in ``home`` unless ``database_url`` names another. Every component imports the modules of ``preload``
    as it starts, so that the tasks it forks need not.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        database_url: str | None = None,
        parallelism: int = 4,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        extra_env: Mapping[str, str] | None = None,
        standalone: bool = False,
        components: Sequence[str] = COMPONENTS,
        preload: Sequence[str] = (),
        startup_timeout: float = 240,
    ) -> None:
        self.home = home
        self.logs = home / "logs"
        self.standalone = standalone
        self.processes: dict[str, ManagedProcess] = {}
        port = free_port()
        self.base_url = f"http://127.0.0.1:{port}"
        self.api = AirflowApi(
            self.base_url,
            evidence=self.log_tails,
            scheduler_log=lambda: (self.logs / "scheduler.log").read_text(errors="replace"),
        )
        self._components = components
        self._preload = preload
        self._startup_timeout = startup_timeout
        self._env = airflow_environment(
            home,
            dags_folder,
            port,
            database_url=database_url,
            parallelism=parallelism,
            connections=connections,
            extra_env=extra_env,
        )

    @property
    def database_url(self) -> str:
        """The URL of the metadata database."""
        return self._env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]

    # -- life cycle ---------------------------------------------------------------------------------

    def __enter__(self) -> AirflowStack:
        try:
            self.start_all()
            self.wait_ready()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start_all(self) -> None:
        """Make the database and start every component, without waiting for them."""
        self.home.mkdir(parents=True, exist_ok=True)
        if self._preload:
            settings = self.home / "config" / "airflow_local_settings.py"
            settings.parent.mkdir(exist_ok=True)
            settings.write_text("".join(f"import {module}\n" for module in self._preload))
        if self.standalone:
            self.start("standalone")
            return
        self.run_command("db", "migrate")
        for component in self._components:
            self.start(component)

    def stop_all(self, grace: float = 5.0) -> None:
        """End all processes in parallel."""
        for process in self.processes.values():
            process.terminate()
        deadline = time.monotonic() + grace
        for process in self.processes.values():
            process.finish(max(0.0, deadline - time.monotonic()))
        self.processes.clear()
        self.api.close()

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until every component reports healthy; fail at once if one of them ends."""

        def probe() -> bool:
            for process in self.processes.values():
                if not process.running():
                    raise StartupError(f"airflow {process.name} ended:\n{process.tail()}")
            return not self.api.unhealthy()

        def describe() -> str:
            return f"not healthy: {', '.join(self.api.unhealthy())}\n{self.log_tails()}"

        wait_until(probe, timeout or self._startup_timeout, describe, interval=0.2)

    # -- components ---------------------------------------------------------------------------------

    def start(
        self, component: str, name: str | None = None, *, extra_env: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        """Start a component; with another ``name``, as a second one next to the first."""
        name = name or component
        command = [AIRFLOW, *component.split()]
        if component in LOG_SERVERS:
            command.append("--skip-serve-logs")  # all processes see the same log files
        process = ManagedProcess(
            name,
            command,
            self.logs / f"{name}.log",
            env={**self._env, **(extra_env or {})},
            polite_signal=signal.SIGINT if component == "standalone" else signal.SIGTERM,
        )
        self.processes[name] = process
        return process

    def kill(self, name: str, sig: int = signal.SIGKILL, *, descendants: bool = True) -> None:
        """Send a signal to a component, by default with its descendants, as the end of a container does."""
        self.processes[name].kill(sig, descendants=descendants)

    def restart(self, name: str, component: str | None = None) -> None:
        """Start a component again, after ending its remaining processes."""
        self.processes[name].stop()
        self.start(component or name, name)

    def run_command(self, *arguments: str, program: str = AIRFLOW, timeout: float = 120) -> str:
        """Run an ``airflow`` command, or another program, against this installation; return its output."""
        result = subprocess.run(
            [program, *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if result.returncode:
            last = "\n".join(result.stdout.splitlines()[-20:])
            name = Path(program).name
            raise StartupError(f"{name} {' '.join(arguments)} failed ({result.returncode}):\n{last}")
        return result.stdout

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds so far of each component, including its children."""
        return {name: cpu_seconds(process.members()) for name, process in self.processes.items()}

    def task_processes(self) -> list[psutil.Process]:
        """Return the processes that now run a task's code: children of the executor's workers."""
        found = []
        for process in self.processes.values():
            for member in process.members():
                with contextlib.suppress(psutil.Error):
                    title = " ".join(member.cmdline())
                    if title.startswith("airflow worker -- ") and "LocalExecutor" not in title:
                        found.append(member)
        return found

    def kill_tasks(self, *, supervisors: bool = False) -> int:
        """Kill the running tasks and return their number; with their supervisors, as a lost machine does.

        A task's supervisor reports its death at once. Without it, the scheduler misses the heartbeat
        after some 20 seconds.
        """
        tasks = self.task_processes()
        victims = [*tasks]
        if supervisors:
            victims += [parent for task in tasks if (parent := task.parent())]
        signal_all(victims, signal.SIGKILL)
        return len(tasks)

    def log_tails(self, lines: int = 15) -> str:
        """Return the last lines of every component's output."""
        return "\n".join(f"--- {name}\n{process.tail(lines)}" for name, process in self.processes.items())
