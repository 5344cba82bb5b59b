"""The command ``gptimg-emulator``, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "airflow_provider_gptimg.emulator"]


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command with its output in pipes; kill it at the end."""
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    """Return the base URL that a process from :func:`running` prints."""
    assert process.stdout is not None
    return process.stdout.readline().removeprefix("listening on ").strip()
