"""The same images in a real Airflow: mapped operators, one batch, and a plain HttpOperator + HttpSensor.

The variants run one after the other in the same Airflow (on PostgreSQL if it is installed, else on SQLite),
against the emulator in a separate process: generations of 20 s (median; log-normal, sigma 0.5), default rate
limit. Images per minute count from the start of the first task to the end of the last. CPU is of all Airflow
processes together (without the database and the emulator), minus the CPU of an idle Airflow in the same time.
A second table has it by component; the workers are children of the scheduler. Submissions are from the
service's ledger. A task counts as failed after its retries; tries > 1 are tasks that needed a retry. The
batch and one of the mapped variants also store every picture. The others hand on URLs, except for the
HttpSensor, which hands on nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pendulum

from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.tables import machine, print_markdown
from dev import postgres
from dev.airflow_env import PATIENT
from dev.airflow_run import FINAL_RUN_STATES, DagRun
from dev.emulator import EmulatorProcess
from dev.stack import PROVIDER, AirflowStack

DAGS = Path(__file__).parent / "dags" / "end_to_end.py"
HTTP = "apache-airflow-providers-http"
VARIANTS = {
    "mapped": "mapped GptImgGenerateOperator, resumed",
    "mapped_ended": "mapped GptImgGenerateOperator, by default",
    "mapped_stored": "mapped GptImgGenerateOperator, stored (so it is resumed)",
    "batch": "one GptImgBatchOperator (also stores every picture)",
    "http": f"mapped HttpOperator + HttpSensor, mode=reschedule ({HTTP} {version(HTTP)})",
}
HEAD = (
    "variant",
    "images a minute",
    "CPU s an image",
    "submissions",
    "failed tasks",
    "tries > 1",
    "status queries",
    "seconds",
)
PRELOAD = (
    "airflow.providers.http.operators.http",
    "airflow.providers.http.sensors.http",
    *PROVIDER,
)
TIMEOUT = 3600.0
LOOK_EVERY = 2.0
Row = tuple[object, ...]
Cpu = dict[str, float]


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether our variants paid once for each image and lost none."""
    parser = argparse.ArgumentParser(prog="benchmarks end_to_end", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="images of each variant")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="measure only this one")
    parser.add_argument("--parallelism", type=int, default=4, help="workers of the executor")
    parser.add_argument("--preload", action="store_true", help="import the providers before workers fork")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds to measure the idle Airflow")
    options = parser.parse_args(arguments)
    with ExitStack() as resources:
        home = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="gptimg-bench-")))
        latency = ("--latency-median", "20", "--latency-sigma", "0.5", "--balance", "1000")
        emulator = resources.enter_context(EmulatorProcess(home / "emulator.log", *latency))
        remote = Remote(emulator.url)
        database = resources.enter_context(postgres.PostgresServer()).url if postgres.available() else None
        stack = resources.enter_context(_airflow(home, remote, database, options))
        for name in VARIANTS:
            stack.api.wait_dag(name)
            stack.api.unpause(name)
        idle = _idle(stack, options.idle)
        measured = {name: _measure(stack, remote, name, options.images, idle) for name in _chosen(options)}
    kind = "PostgreSQL" if database else "SQLite"
    title = f"{options.images} images, Airflow {version('apache-airflow')} on {kind}, LocalExecutor with"
    print_markdown(
        f"{title} parallelism {options.parallelism} ({machine()})",
        HEAD,
        [row for row, _ in measured.values()],
    )
    by_component = [(VARIANTS[name], *cpu.values()) for name, (_, cpu) in measured.items()]
    print_markdown("CPU seconds an image, by component", ("variant", *idle), by_component)
    print(f"The idle Airflow took {sum(idle.values()):.2f} CPU seconds a second.\n", flush=True)
    return all(
        row[3] == options.images and not row[4] for name, (row, _) in measured.items() if name != "http"
    )


def _chosen(options: argparse.Namespace) -> list[str]:
    return [name for name in VARIANTS if name in (options.variant or VARIANTS)]


def _airflow(home: Path, remote: Remote, database: str | None, options: argparse.Namespace) -> AirflowStack:
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(DAGS, dags)
    gptimg = json.loads(remote.airflow_connection)
    plain = {"conn_type": "http", "host": remote.base_url}
    return AirflowStack(
        home / "airflow",
        dags,
        database_url=database,
        parallelism=options.parallelism,
        preload=PRELOAD if options.preload else (),
        connections={
            "gptimg_default": gptimg,
            "images": {**plain, "extra": {"Authorization": f"Bearer {gptimg['password']}"}},
        },
        extra_env={
            **PATIENT,
            "BENCHMARK_IMAGES": str(options.images),
            "BENCHMARK_OUTPUT": (home / "images").as_uri(),
        },
    )


def _idle(stack: AirflowStack, seconds: float) -> Cpu:
    """Return the CPU seconds per second of each component of an idle Airflow."""
    time.sleep(10)  # lets the startup finish
    before = stack.cpu_seconds()
    time.sleep(seconds)
    return {name: (cpu - before[name]) / seconds for name, cpu in stack.cpu_seconds().items()}


def _measure(stack: AirflowStack, remote: Remote, variant: str, images: int, idle: Cpu) -> tuple[Row, Cpu]:
    """Return the row of a variant, and each component's CPU seconds an image."""
    print(f"  {variant}: load {os.getloadavg()[0]:.1f} ...", flush=True)
    remote.reset()
    began, before = time.monotonic(), stack.cpu_seconds()
    run = stack.api.trigger_run(variant)
    _wait(run)
    took = time.monotonic() - began
    cpu = {
        name: (spent - before[name] - idle[name] * took) / images
        for name, spent in stack.cpu_seconds().items()
    }
    tasks = run.tasks()
    starts, ends = (
        [pendulum.parse(task[name]) for task in tasks if task[name]] for name in ("start_date", "end_date")
    )
    seconds = (max(ends) - min(starts)).total_seconds()
    failed = [task for task in tasks if task["state"] != "success"]
    # A try number alone does not show it, because every look of a rescheduled sensor counts as a try.
    several = [run.task(task["task_id"], task["map_index"]) for task in tasks if task["try_number"] > 1]
    retried = sum(task.tries() > 1 for task in several)
    ledger = remote.ledger()
    done = sum(submission["status"] == "completed" for submission in ledger["submissions"])
    row = (
        VARIANTS[variant],
        60 * min(done, images) / seconds,
        sum(cpu.values()),
        len(ledger["submissions"]),
        len(failed),
        retried,
        ledger["requests"]["status"],
        round(seconds),
    )
    print(f"  {row}", flush=True)  # the table is printed only at the end
    return row, cpu


def _wait(run: DagRun) -> None:
    """Wait for the end of a run. Asks rarely, because the answers take CPU of Airflow too."""
    deadline = time.monotonic() + TIMEOUT
    while run.state() not in FINAL_RUN_STATES:
        if time.monotonic() > deadline:
            raise TimeoutError(run.describe())
        time.sleep(LOOK_EVERY)
