"""Waiting for a thousand jobs: our trigger, its neighbours', and a hand-written one, side by side.

All wait for the same jobs (log-normal, median 20 s, sigma 0.5) at the same local service, each in a fresh
process; a row takes about two minutes. Lateness is the event's time minus the finish, without correction,
although our trigger holds events back in the first ten seconds. A late look is the time when the service
first told the trigger, minus the finish. CPU is of the triggers' process alone. Compare only rows of one run,
because machines vary.
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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.ideal import ideal
from benchmarks.tables import machine, middle_and_tail, print_markdown
from benchmarks.waiting_process import Measured, Order

ROOT = Path(__file__).parent.parent
WARM_UP = 200
DEFAULT_QUERIES = 50.0
"""Contract: Rate limits, group "default"."""

VARIANTS = {
    "cold": ("gptimg", "airflow-provider-gptimg", 0),
    "warm": ("gptimg", "airflow-provider-gptimg", WARM_UP),
    "openai": ("openai", "apache-airflow-providers-openai", 0),
    "anthropic": ("anthropic", "apache-airflow-providers-anthropic", 0),
    "databricks": ("databricks", "apache-airflow-providers-databricks", 0),
    "plain": ("plain", "httpx", 0),
}
HEAD = (
    "trigger",
    "polls a job",
    "429s",
    "429s %",
    "lost",
    "late p50 s",
    "late p95 s",
    "late look p50 s",
    "CPU s",
    "KiB a trigger",
    "longest stall s",
)
Row = tuple[object, ...]


def main(arguments: list[str]) -> bool:
    """Measure, print the tables, and return whether our trigger kept the promises."""
    parser = argparse.ArgumentParser(prog="benchmarks triggers", description=__doc__)
    parser.add_argument("--waits", type=int, action="append", help="waits at once (default: 1000)")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="measure only this one")
    parser.add_argument("--limit", choices=("off", "default"), action="append", help="only this limit")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chosen = installed(options.variant or list(VARIANTS))
    kept = True
    for count in options.waits or [1000]:
        for limit in options.limit or ["off", "default"]:
            rate = 0.0 if limit == "off" else DEFAULT_QUERIES
            rows = {
                name: _measure(name, Order(waiter, "", count, options.interval, rate, warm_up, options.seed))
                for name, (waiter, _, warm_up) in VARIANTS.items()
                if name in chosen
            }
            if rate:
                rows["ideal"] = _ideal(count, options.seed, options.interval, rate)
            said = f"{rate:g} queries/s, burst {rate * 10:g}" if rate else "no limit"
            title = f"{count:,} waits, interval {options.interval:g} s, {said}"
            print_markdown(f"{title} ({machine()})", HEAD, list(rows.values()))
            kept &= _kept(rows, limited=bool(rate))
    return kept


def installed(names: list[str]) -> list[str]:
    """Return the variants whose distribution is installed, and print the others: some need a newer Python."""
    found = []
    for name in names:
        distribution = VARIANTS[name][1]
        try:
            version(distribution)
        except PackageNotFoundError:
            print(f"triggers: {name} is left out, {distribution} is not installed.", flush=True)
        else:
            found.append(name)
    return found


def _kept(rows: dict[str, Row], *, limited: bool) -> bool:
    ours = [rows[name] for name in ("cold", "warm") if name in rows]
    if any(row[HEAD.index("lost")] for row in ours):
        return False
    if limited:
        most = 1.25 * rows["ideal"][HEAD.index("late p50 s")]  # type: ignore[operator]
        return all(row[3] < 1.0 and row[HEAD.index("late look p50 s")] <= most for row in ours)  # type: ignore[operator]
    return "warm" not in rows or (rows["warm"][1] <= 5.0 and rows["warm"][5] < 2.0)  # type: ignore[operator]


def _measure(name: str, order: Order) -> Row:
    print(f"  {order.count} waits, limit {order.limit:g}: {name} ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="gptimg-bench-") as home, _service(order.limit) as url:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            # No API server is running; code that looks for one must not find somebody else's.
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:1/execution/",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "NO_PROXY": "127.0.0.1",
        }
        asked = json.dumps({**asdict(order), "url": url})
        command = [sys.executable, "-m", "benchmarks.waiting_process", asked]
        ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{name}: {ran.stderr[-2000:]}")
    return _row(name, order, Measured(**json.loads(ran.stdout.splitlines()[-1])))


@contextmanager
def _service(rate: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.job_service", str(rate)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def _row(name: str, order: Order, measured: Measured) -> Row:
    distribution = VARIANTS[name][1]
    p50, p95 = middle_and_tail(measured.late_events)
    return (
        f"{name} ({distribution} {version(distribution)})",
        measured.polls / order.count,
        measured.limited,
        100 * measured.limited / measured.polls,
        measured.lost,
        p50,
        p95,
        middle_and_tail(measured.late_looks)[0],
        measured.cpu,
        measured.kib,
        measured.stall,
    )


def _ideal(count: int, seed: int, interval: float, rate: float) -> Row:
    outcome = ideal(count, seed, interval, rate)
    p50, p95 = middle_and_tail(outcome.lateness)
    nothing = ("-", "-", "-")
    return ("ideal (simulated)", outcome.polls / count, 0, 0.0, 0, p50, p95, p50, *nothing)
