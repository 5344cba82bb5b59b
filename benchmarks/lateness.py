"""The lateness of a task in a real Airflow: from the finish of its image to its success.

All variants use one Airflow (on PostgreSQL if it is installed, else on SQLite), against the emulator in a
separate process: images of 8 s and of 20 s (median; log-normal, sigma 0.25), without rate limit. Cold is a
triggerer that has just started, warm is the same one afterwards. Single tasks run one after the other, the
mapped ones at once. Looks are status queries per image. Starts are worker starts per task, from the log of
the API server. The batch is one task with many images, at the default rate limit. It is late from the finish
of its last image.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pendulum

from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.tables import machine, middle_and_tail, print_markdown
from dev import postgres
from dev.airflow_env import PATIENT
from dev.emulator import EmulatorProcess
from dev.stack import AirflowStack

DAGS = Path(__file__).parent / "dags" / "lateness.py"
VARIANTS = ("by_default", "stored", "resumed", "on_worker", "batch")
HEAD = (
    "variant",
    "image s",
    "triggerer",
    "tasks",
    "late p50 s",
    "late p95 s",
    "looks an image",
    "starts a task",
    "failed",
)
STARTED = re.compile(r"path=/execution/task-instances/[0-9a-f-]+/run ")
SIGMA = 0.25
STARTUP = 15.0
"""Seconds until a new triggerer surely takes triggers."""


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether no task failed."""
    parser = argparse.ArgumentParser(prog="benchmarks lateness", description=__doc__)
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="measure only this one")
    parser.add_argument("--seconds", type=float, action="append", help="seconds an image takes")
    parser.add_argument("--mapped", type=int, default=24, help="mapped tasks at once")
    parser.add_argument("--batch", type=int, default=1_000, help="images of the batch")
    parser.add_argument("--singles", type=int, default=3, help="single tasks, one after the other")
    options = parser.parse_args(arguments)
    with ExitStack() as resources:
        home = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="gptimg-bench-")))
        latency = ("--latency-sigma", str(SIGMA), "--rate-limit", "off", "--balance", "1000")
        emulator = resources.enter_context(EmulatorProcess(home / "emulator.log", *latency))
        database = resources.enter_context(postgres.PostgresServer()).url if postgres.available() else None
        dags = home / "dags"
        dags.mkdir()
        shutil.copy(DAGS, dags)
        bench = Bench(Remote(emulator.url))
        bench.stack = resources.enter_context(
            AirflowStack(
                home / "airflow",
                dags,
                database_url=database,
                connections={"gptimg_default": json.loads(bench.remote.airflow_connection)},
                extra_env={
                    **PATIENT,
                    "BENCHMARK_MAPPED": str(options.mapped),
                    "BENCHMARK_BATCH": str(options.batch),
                    "BENCHMARK_OUTPUT": (home / "images").as_uri(),
                },
            )
        )
        for variant in options.variant or VARIANTS:
            for seconds in options.seconds or (8.0, 20.0):
                bench.measure(variant, seconds, options.singles)
    print_markdown(f"From finish to success ({machine()})", HEAD, bench.rows)
    return not any(row[-1] for row in bench.rows)


class Bench:
    """The running Airflow and the measurements in it."""

    stack: AirflowStack

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.rows: list[tuple[object, ...]] = []

    def measure(self, variant: str, seconds: float, singles: int) -> None:
        """Measure a variant with images of one duration, cold and warm."""
        if variant == "batch":
            self._add(variant, seconds, "warm", variant, 1)
            return
        if variant != "on_worker":
            self._restart_triggerer()
            self._add(variant, seconds, "cold", f"{variant}_single", 1)
            self._restart_triggerer()
            self._add(variant, seconds, "cold", f"{variant}_mapped", 1)
        heat = "-" if variant == "on_worker" else "warm"
        self._add(variant, seconds, heat, f"{variant}_mapped", 1)
        self._add(variant, seconds, heat, f"{variant}_single", singles)

    def _restart_triggerer(self) -> None:
        self.stack.restart("triggerer")
        time.sleep(STARTUP)  # its health page still shows the heartbeat of the one before

    def _add(self, variant: str, seconds: float, heat: str, dag_id: str, runs: int) -> None:
        self.remote.reset()
        limit = "default" if variant == "batch" else "off"
        self.remote.configure(latency_median=seconds, latency_sigma=SIGMA, rate_limit=limit)
        late, failed, before = [], 0, self._starts()
        for _ in range(runs):
            run = self.stack.api.start_dag(dag_id)
            failed += run.wait(900) != "success"
            finish = {row["id"]: row["finishes_at"] for row in self.remote.ledger()["submissions"]}
            for task in run.tasks():
                ended = pendulum.parse(task["end_date"]).timestamp()  # type: ignore[union-attr]
                if variant == "batch":
                    late.append(ended - max(finish.values()))
                    continue
                generation_id = run.task(task["task_id"], task["map_index"]).xcom("generation_id")
                late.append(ended - finish[generation_id])
        ledger = self.remote.ledger()
        looks = ledger["requests"]["status"] / len(ledger["submissions"])
        middle, tail = middle_and_tail(late) if len(late) > 1 else (late[0], late[0])
        tasks, starts = len(late), (self._starts() - before) / len(late)
        row = (variant, seconds, heat, f"{runs} x {tasks // runs}", middle, tail, looks, starts, failed)
        self.rows.append(row)
        print(f"  {row}", flush=True)  # the table is printed only at the end

    def _starts(self) -> int:
        return len(STARTED.findall((self.stack.logs / "api-server.log").read_text(errors="replace")))
