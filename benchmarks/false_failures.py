"""A slow scheduler does not cause the loss of any image.

A deferred task that is resumed before the scheduler has handled the end of its first half fails as
"state changed externally" (apache/airflow#66374). Here a fast service meets a loaded
``airflow standalone``: mapped tasks, retries=0, while busy processes and another DAG take the cores.
With the protection switched off the same DAG fails, which shows that the measurement can fail.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.tables import print_table
from dev.airflow_env import PATIENT
from dev.airflow_run import FINAL_TASK_STATES, DagRun, task_name
from dev.emulator import EmulatorProcess
from dev.stack import AirflowStack

HERE = Path(__file__).parent
VARIANTS = {
    "hasty": "event at once (no protection)",
    "held_back": "event held back, then resumed",
    "ended_in_triggerer": "ended in the triggerer (default)",
}
HEAD = (
    "variant",
    "tasks",
    "succeeded",
    '"state changed externally"',
    "other failures",
    "submissions",
    "longest loop s",
    "seconds",
)
TIMEOUT = 3600.0
SCHEDULER = "airflow.jobs.scheduler_job_runner.SchedulerJobRunner"
LOOP = re.compile(r"Ran scheduling loop in (?:duration=)?([\d.]+)")


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether the default lost no task and the test can fail."""
    parser = argparse.ArgumentParser(prog="benchmarks false_failures", description=__doc__)
    parser.add_argument("--tasks", type=int, default=200, help="mapped tasks of each variant")
    parser.add_argument("--busy", type=int, default=2, help="processes that only burn a core")
    parser.add_argument("--crowd", type=int, default=20, help="mapped tasks of the DAG that is in the way")
    parser.add_argument("--parallelism", type=int, default=6, help="workers of the executor")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="measure only this one")
    parser.add_argument("--home", type=Path, help="where Airflow lives, kept afterwards (default: nowhere)")
    options = parser.parse_args(arguments)
    variants = options.variant or list(VARIANTS)
    with ExitStack() as resources:
        temporary = resources.enter_context(tempfile.TemporaryDirectory(prefix="gptimg-bench-"))
        home = options.home or Path(temporary)
        latency = ("--latency-median", "1", "--latency-sigma", "0.2", "--balance", "1000")
        emulator = EmulatorProcess(home / "emulator.log", *latency, "--rate-limit", "off")
        remote = Remote(resources.enter_context(emulator).url)
        stack = resources.enter_context(_airflow(home / "airflow", remote, options))
        stack.api.start_dag("crowd")
        resources.enter_context(_busy(options.busy))
        rows = [_measure(stack, remote, variant, options.tasks) for variant in variants]
    load = f"{options.busy} busy processes, {options.crowd} other tasks every 20 s"
    print_table(f"False failures: {load}, parallelism {options.parallelism}", HEAD, rows)
    return _kept(dict(zip(variants, rows, strict=True)), options.tasks)


def _kept(rows: dict[str, tuple[object, ...]], tasks: int) -> bool:
    protected = all(row[2] == tasks == row[5] for name, row in rows.items() if name != "hasty")
    return protected and ("hasty" not in rows or rows["hasty"][3] != 0)


def _airflow(home: Path, remote: Remote, options: argparse.Namespace) -> AirflowStack:
    return AirflowStack(
        home,
        HERE / "dags",
        standalone=True,
        parallelism=options.parallelism,
        connections={"gptimg_default": json.loads(remote.airflow_connection)},
        extra_env={
            **PATIENT,
            "PYTHONPATH": str(HERE.parent),
            "BENCHMARK_TASKS": str(options.tasks),
            "BENCHMARK_CROWD": str(options.crowd),
            # Logs how long each of the scheduler's loops took.
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": f"{SCHEDULER}=DEBUG",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
        },
    )


def _measure(stack: AirflowStack, remote: Remote, variant: str, tasks: int) -> tuple[object, ...]:
    remote.reset()
    log = stack.logs / "standalone.log"
    seen, began = log.stat().st_size, time.monotonic()
    run = stack.api.start_dag(variant)
    states = _ended(run, tasks)
    seconds = time.monotonic() - began
    lost = run.mismatches()
    for ti in run.tasks("draw"):
        if ti["state"] != "success" and task_name("draw", ti["map_index"]) not in lost:
            print(
                f"  draw[{ti['map_index']}] failed otherwise:",
                *_last_words(run, ti["map_index"]),
                sep="\n    ",
            )
    with log.open(errors="replace") as lines:
        lines.seek(seen)
        loops = [float(found[1]) for line in lines if (found := LOOP.search(line))]
    return (
        VARIANTS[variant],
        tasks,
        states["success"],
        len(lost),
        tasks - states["success"] - len(lost),
        len(remote.ledger()["submissions"]),
        max(loops, default=0.0) / 1000,
        round(seconds),
    )


def _last_words(run: DagRun, map_index: int) -> list[str]:
    return [line[:300] for line in run.task("draw", map_index).log().splitlines()[-5:]]


def _ended(run: DagRun, tasks: int) -> Counter[str | None]:
    """Wait until every task has ended, and return the number of tasks in each state."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(3)
        states = Counter(ti["state"] for ti in run.tasks("draw"))
        print(f"  {run.dag_id}: {dict(states)}", flush=True)
        if sum(states[state] for state in FINAL_TASK_STATES) >= tasks:
            return states
    raise TimeoutError(run.describe())


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keep cores busy during the block."""
    burning = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(processes)]
    for process in burning:
        process.start()
    try:
        yield
    finally:
        for process in burning:
            process.kill()


def _burn() -> None:
    while True:
        pass
