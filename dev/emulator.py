"""The emulator as a separate process, the way people run it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dev.airflow_env import inherited_environment
from dev.processes import ManagedProcess, StartupError, wait_until

STARTUP_SECONDS = 30


class EmulatorProcess:
    """Context manager: a running emulator on a free port, at ``url``."""

    def __init__(self, log_file: Path, *options: str) -> None:
        self._log_file = log_file
        self._command = [sys.executable, "-m", "airflow_provider_gptimg.emulator", "--port", "0", *options]

    def __enter__(self) -> EmulatorProcess:
        process = ManagedProcess("emulator", self._command, self._log_file, env=inherited_environment())
        self._process = process

        def address() -> str | None:
            if not process.running():
                raise StartupError(f"the emulator ended:\n{process.tail()}")
            found = re.search(r"listening on (http://\S+)", process.tail(1000))
            return found.group(1) if found else None

        try:
            self.url = wait_until(
                address, STARTUP_SECONDS, lambda: f"the emulator does not listen:\n{process.tail()}"
            )
        except BaseException:
            process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(grace=2)
