"""Two triggerers on PostgreSQL that share 2,000 waits, and what happens when one of them is killed.

The triggerers, the scheduler, the API server and the database are real. The emulator has the default rate
limit (50 queries/s for both together) and generations of 30 s (median; log-normal, sigma 0.5). No worker is
started for the waits: mapped sensors are in a pool without slots, and are put into the state after a
deferral, all at once, through Airflow's own models. They end in the triggerer (``end_task``), or are handed
back to be resumed and stay in the pool. The triggerers' work is the same. Each variant has new triggerers,
which have not learned anything yet.

Lateness is the time when Airflow's database has the task's end, or has the task ready to resume, minus the
generation's completion, or minus the deferral if that came later. So it includes Airflow's time to handle the
events of a thousand waits that end at about the same time, and the first ten seconds if events are held back.
The service reports whole seconds, so half a second is subtracted. Polls are all status queries, including
those answered 429. Lost are waits that did not end in success. CPU is of each triggerer with its children,
from the first deferral to the last end. Memory is what it does not share plus its part of what it shares
(PSS), before the waits and at the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.shared_waits import DAG_ID, MOST_A_RUN, TIMEOUT, SharedWaits
from benchmarks.tables import machine, middle_and_tail, print_markdown
from dev import postgres
from dev.airflow_env import PATIENT
from dev.emulator import EmulatorProcess
from dev.processes import ManagedProcess, cpu_seconds, wait_until
from dev.stack import AirflowStack

ROOT = Path(__file__).parent.parent
POOL = "closed"
TRIGGERERS = ("triggerer", "triggerer-2")


class Variant(NamedTuple):
    """A way to wait.

    :param says: the name of the row.
    :param conn_id: the connection, which sets how many queries per second one triggerer may make.
    :param kills: kill one triggerer when half of the waits are over.
    :param end_task: end the tasks in the triggerer, instead of handing them back to be resumed.
    """

    says: str
    conn_id: str
    kills: bool = False
    end_task: bool = True


VARIANTS = {
    "whole": Variant("each believes it has 50 queries/s", "gptimg_default"),
    "halved": Variant("each is told 25 queries/s", "gptimg_halved"),
    "killed": Variant("25 each, one killed when half are over", "gptimg_halved", kills=True),
    "resumed": Variant("25 each, tasks handed back to be resumed", "gptimg_halved", end_task=False),
}
HEAD = (
    "variant",
    "waits held by each",
    "polls a job",
    "429s",
    "429s %",
    "lost",
    "late p50 s",
    "late p95 s",
    "CPU s of each",
    "MiB of each",
    "seconds",
)
LOOK_EVERY = 2.0
Row = tuple[object, ...]


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether no wait was lost."""
    parser = argparse.ArgumentParser(prog="benchmarks two_triggerers", description=__doc__)
    parser.add_argument("--waits", type=int, default=2000, help="waits that both share")
    parser.add_argument("--median", type=float, default=30.0, help="seconds that a generation takes")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="measure only this one")
    options = parser.parse_args(arguments)
    if not postgres.available():
        print("two_triggerers: skipped, PostgreSQL or a driver for it is not installed.", flush=True)
        return True
    with ExitStack() as resources:
        home = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="gptimg-bench-")))
        latency = ("--latency-median", str(options.median), "--latency-sigma", "0.5", "--balance", "1000")
        remote = Remote(resources.enter_context(EmulatorProcess(home / "emulator.log", *latency)).url)
        database = resources.enter_context(postgres.PostgresServer())
        stack = resources.enter_context(_airflow(home, remote, database.url, options.waits))
        stack.run_command("pools", "set", POOL, "0", "Nothing starts here.")
        stack.api.wait_dag(DAG_ID)
        stack.api.unpause(DAG_ID)
        chosen = [name for name in VARIANTS if name in (options.variant or VARIANTS)]
        waits = resources.enter_context(SharedWaits(stack, remote, options.waits))
        rows = [_measure(stack, waits, remote, name) for name in chosen]
    title = f"{options.waits:,} waits, two triggerers, generations of {options.median:g} s"
    print_markdown(f"{title} ({machine()})", HEAD, rows)
    return not any(row[HEAD.index("lost")] for row in rows)


def _airflow(home: Path, remote: Remote, database_url: str, waits: int) -> AirflowStack:
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "benchmarks" / "dags" / "two_triggerers.py", dags)
    connection = json.loads(remote.airflow_connection)
    return AirflowStack(
        home / "airflow",
        dags,
        database_url=database_url,
        connections={
            "gptimg_default": connection,
            "gptimg_halved": {**connection, "extra": {"query_rps": 25}},
        },
        extra_env={
            **PATIENT,
            # Airflow's default time after a triggerer's last heartbeat until its waits go to the other.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
            "BENCHMARK_WAITS": str(min(waits, MOST_A_RUN)),
            "BENCHMARK_POOL": POOL,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        },
    )


@dataclass
class _Load:
    """The CPU and memory of one triggerer so far."""

    process: ManagedProcess
    job_id: int
    held: int = 0
    cpu_before: float = 0.0
    cpu: float = 0.0
    mib_before: float = 0.0
    mib: float = 0.0

    def begin(self) -> None:
        """Remember its CPU and memory without waits."""
        self.look()
        self.cpu_before, self.mib_before = self.cpu, self.mib

    def look(self) -> None:
        """Record CPU and memory; the figures of a dead triggerer stay as they were."""
        members = self.process.members()
        self.cpu = max(self.cpu, cpu_seconds(members))
        with suppress(psutil.Error):
            self.mib = max(self.mib, sum(member.memory_full_info().pss for member in members) / 2**20)


def _measure(stack: AirflowStack, waits: SharedWaits, remote: Remote, name: str) -> Row:
    variant = VARIANTS[name]
    print(f"  {name}: load {os.getloadavg()[0]:.1f} ...", flush=True)
    loads = _new_triggerers(stack, waits)
    waits.prepare()
    for load in loads:
        load.begin()
    began = time.monotonic()
    waits.defer(variant.conn_id, end_task=variant.end_task)
    _watch(stack, waits, loads, variant.kills)
    seconds = time.monotonic() - began
    asked = remote.ledger()["requests"]
    late = waits.lateness(end_task=variant.end_task)
    row = (
        variant.says,
        _of_each(load.held for load in loads),
        asked["status"] / waits.count,
        asked["rate_limited"],
        100 * asked["rate_limited"] / max(1, asked["status"]),
        waits.count - len(late),
        *middle_and_tail(late),
        _of_each(round(load.cpu - load.cpu_before, 1) for load in loads),
        _of_each(f"{load.mib_before:.0f} to {load.mib:.0f}" for load in loads),
        round(seconds),
    )
    print(f"  {row}", flush=True)  # the table is printed only at the end
    return row


def _of_each(figures: Iterable[object]) -> str:
    return " / ".join(map(str, figures))


def _new_triggerers(stack: AirflowStack, waits: SharedWaits) -> list[_Load]:
    """Replace the triggerers with new ones, one after the other, to know which job belongs to which."""
    for name in TRIGGERERS:
        if name in stack.processes:
            stack.processes[name].stop()
    loads = [_new_triggerer(stack, waits, name) for name in TRIGGERERS]
    stack.wait_ready()
    time.sleep(5)  # lets the startup finish
    return loads


def _new_triggerer(stack: AirflowStack, waits: SharedWaits, name: str) -> _Load:
    last = waits.newest_triggerer()
    process = stack.start("triggerer", name)
    wait_until(lambda: waits.newest_triggerer() > last, 60, process.tail)
    return _Load(process, waits.newest_triggerer())


def _watch(stack: AirflowStack, waits: SharedWaits, loads: list[_Load], kills: bool) -> None:
    """Look until no wait is left; kill a triggerer in the middle if ``kills`` is set."""
    deadline = time.monotonic() + TIMEOUT
    victim = loads[-1]
    killed_at = 0.0
    while (left := waits.states().get("deferred", 0)) and time.monotonic() < deadline:
        held = waits.held()
        for load in loads:
            load.held = max(load.held, held.get(load.job_id, 0))
            load.look()
        if kills and left <= waits.count / 2:
            kills, killed_at = False, time.monotonic()
            stack.kill(victim.process.name)
            print(f"  killed one that had {held.get(victim.job_id, 0)} of {left} waits", flush=True)
        elif killed_at and not held.get(victim.job_id):
            print(f"  it has none {time.monotonic() - killed_at:.0f} s later", flush=True)
            killed_at = 0.0
        time.sleep(LOOK_EVERY)
