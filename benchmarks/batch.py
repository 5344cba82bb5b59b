"""One batch of many images: the rate that it reaches, and the CPU and memory that it takes.

The rate is measured for each rate group against the emulator, from the first submission to the last. N
submissions take at least (N - burst) / rate seconds, and a burst is the service's full bucket of ten seconds.
The share is that time divided by the measured time. CPU is of the batch's process, without starting Python
and importing Airflow. "Outside pictures" leaves out the threads' time for fetching, checking and storing
pictures. Memory is measured with a service that paints nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_gptimg.api.polling.rate_limit import BURST_SECONDS, SUBMITS_PER_SECOND
from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.batch_process import Measured, Order
from benchmarks.tables import machine, print_markdown
from dev.emulator import EmulatorProcess

ROOT = Path(__file__).parent.parent
LEAST_SHARE = 0.95
MOST_CPU = 10.0
"""Milliseconds per image."""

MOST_GROWTH = 1.25
"""Memory for ten times the items, as a multiple."""

RATES = (
    "group",
    "images",
    "paid",
    "429s",
    "first to last s",
    "at best s",
    "share %",
    "all stored s",
    "CPU ms",
    "outside pictures ms",
)
MEMORY = (
    "images",
    "seconds",
    "images/s",
    "CPU ms",
    "outside pictures ms",
    "before MiB",
    "peak MiB",
    "added MiB",
)
FASTEST = {"submit_rps": 1000, "query_rps": 5000}


def main(arguments: list[str]) -> bool:
    """Measure, print the tables, and return whether the promises were kept."""
    parser = argparse.ArgumentParser(prog="benchmarks batch", description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--groups", nargs="*", choices=SUBMITS_PER_SECOND, default=list(SUBMITS_PER_SECOND))
    parser.add_argument("--memory", nargs="*", type=int, default=[1000, 10000], help="items for the memory")
    options = parser.parse_args(arguments)
    kept = True
    with tempfile.TemporaryDirectory(prefix="gptimg-bench-") as home:
        if options.groups:
            rows = [_at_rate(Path(home), group, options.items) for group in options.groups]
            print_markdown(f"A batch at each rate group ({machine()})", RATES, rows)
            kept &= all(
                row[2] == row[1] and row[6] >= 100 * LEAST_SHARE and row[9] < MOST_CPU for row in rows
            )
        if options.memory:
            rows = [_in_memory(Path(home), count) for count in options.memory]
            print_markdown(f"Batches of different lengths, no rate limit ({machine()})", MEMORY, rows)
            kept &= rows[-1][6] <= MOST_GROWTH * rows[0][6]
    return kept


def _at_rate(home: Path, group: str, count: int) -> tuple[Any, ...]:
    print(f"  {count} images, group {group} ...", flush=True)
    options = ("--rate-limit", group, "--balance", "100000")
    with EmulatorProcess(home / f"{group}.log", *options) as emulator:
        measured = _measure(home / group, emulator.url, {"rate_limit_group": group}, count)
        ledger = Remote(emulator.url).ledger()
    accepted = [row["accepted_at"] for row in ledger["submissions"]]
    took = max(accepted) - min(accepted)
    rate = SUBMITS_PER_SECOND[group]
    at_best = max(0.0, (count - BURST_SECONDS * rate) / rate)
    limited = ledger["requests"]["rate_limited"]
    times = (took, at_best, 100 * at_best / took, measured.seconds)
    return (group, count, len(accepted), limited, *times, *_cpu(measured))


def _in_memory(home: Path, count: int) -> tuple[Any, ...]:
    print(f"  {count} images, no limit ...", flush=True)
    with _pictures() as url:
        measured = _measure(home / f"{count}", url, FASTEST, count)
    memory = (measured.before_mib, measured.peak_mib, measured.peak_mib - measured.before_mib)
    return (count, measured.seconds, count / measured.seconds, *_cpu(measured), *memory)


def _cpu(measured: Measured) -> tuple[float, float]:
    """Return milliseconds per image, in total and outside pictures."""
    outside = measured.cpu - measured.picture_cpu
    return 1000 * measured.cpu / measured.completed, 1000 * outside / measured.completed


def _measure(folder: Path, url: str, extra: dict[str, Any], count: int) -> Measured:
    folder.mkdir()
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "NO_PROXY": "127.0.0.1",
    }
    order = json.dumps(asdict(Order(url, extra, str(folder), count)))
    command = [sys.executable, "-m", "benchmarks.batch_process", order]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-2000:] or ran.stdout[-2000:])
    measured = Measured(**json.loads(ran.stdout.splitlines()[-1]))
    assert measured.completed == count == len(list((folder / "out").glob("*.png")))
    return measured


@contextmanager
def _pictures() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.picture_service"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
