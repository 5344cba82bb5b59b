"""Celery with two workers that share nothing but database, broker and bucket; they and a triggerer die."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dev import postgres
from dev.airflow_run import DagRun
from dev.processes import wait_until
from dev.stack import PROVIDER, AirflowStack
from tests.support import redis_server
from tests.support.object_store import Bucket, bucket

pytest.importorskip("airflow.providers.celery", reason="The provider for Celery is not installed")
pytestmark = [
    pytest.mark.skipif(redis_server.BINARY is None, reason="Redis is not installed"),
    pytest.mark.skipif(not postgres.available(), reason="PostgreSQL is not installed"),
]

HERE = Path(__file__).parent
MADE, STORED, ITEMS = 8, 6, 20
IMAGES = MADE + STORED + 1 + ITEMS
SLOTS = 2
"""Tasks at once on one worker."""


class Machines:
    """An Airflow whose workers and triggerers each have a home and a disk of their own."""

    def __init__(self, stack: AirflowStack, folder: Path) -> None:
        self.stack = stack
        self._folder = folder

    def start(self, name: str) -> None:
        """Start a machine, ``worker-…`` or ``triggerer-…``; one that died comes back with an empty disk."""
        home = self.home(name)
        shutil.rmtree(home, ignore_errors=True)
        (home / "tmp").mkdir(parents=True)
        shutil.copytree(HERE / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        component = "celery worker" if name.startswith("worker") else "triggerer"
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "TMPDIR": str(home / "tmp"),
        }
        self.stack.start(component, name, extra_env=own)

    def home(self, name: str) -> Path:
        return self._folder / name

    def replace(self, name: str) -> None:
        """Kill a machine with everything that runs on it, and put a new one in its place."""
        self.stack.kill(name)
        self.start(name)

    def busy(self, name: str) -> bool:
        """Tell whether a task's code runs on a worker now."""
        here = {process.pid for process in self.stack.processes[name].members()}
        return any(process.pid in here for process in self.stack.task_processes())

    def pictures(self) -> list[Path]:
        """Return every picture on the disk of any machine."""
        return [path for ending in ("png", "part") for path in self._folder.rglob(f"*.{ending}")]


@pytest.fixture(scope="module")
def store() -> Bucket:
    started = bucket()
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(photo, "PNG")
    started.write("in/photo.png", photo.getvalue())
    lines = (json.dumps({"id": f"sku-{number}", "prompt": f"Cup {number}"}) for number in range(ITEMS))
    started.write("in/items.jsonl", "\n".join(lines).encode())
    return started


@pytest.fixture(scope="module")
def machines(tmp_path_factory, emulator_process, store) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    with redis_server.redis_server(folder) as broker, postgres.PostgresServer() as database:
        stack = AirflowStack(
            folder / "airflow",
            HERE / "dags",
            database_url=database.url,
            parallelism=8,
            connections={"gptimg_default": json.loads(emulator_process.airflow_connection)},
            preload=PROVIDER,
            components=("api-server", "scheduler", "dag-processor"),
            extra_env={
                **store.environment,
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(SLOTS),
                # What a dead worker had taken from the broker and not begun is queued again after this.
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "20",
                "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            },
        )
        try:
            stack.start_all()
            started = Machines(stack, folder)
            for name in ("worker-1", "worker-2", "triggerer-1", "triggerer-2"):
                started.start(name)
            stack.wait_ready()
            yield started
        finally:
            stack.stop_all()


def play(machines: Machines, emulator, name: str) -> DagRun:
    emulator.reset()
    return machines.stack.api.start_dag("machines", conf={"run": name})


def check(run: DagRun, emulator, store: Bucket, *, cached: int = 0) -> None:
    """Check that each image was paid once, and that what the tasks hand on lies in the bucket, whole."""
    rows = emulator.ledger()["submissions"]
    assert len(rows) == len({row["client_business_id"] for row in rows}) == IMAGES - cached
    assert {row["status"] for row in rows} == {"completed"}
    name = run.task("batch").xcom()["manifest"].split("/")[-3]
    counts = Counter(key.split("/")[1] for key in store.listing(f"{name}/") if key.endswith(".png"))
    assert counts == {"stored": STORED, "all": 1, "batch": ITEMS}
    for number in range(STORED):
        (image,) = run.task("stored", number).xcom()["images"]
        content = store.read(image["uri"].removeprefix("s3://store@pictures/"))
        assert hashlib.sha256(content).hexdigest() == image["sha256"]


def test_two_machines_share_the_work(machines, emulator, store, record_figures):
    started = time.monotonic()
    run = play(machines, emulator, "quiet")
    assert run.wait(240) == "success", run.describe()
    seconds = time.monotonic() - started
    check(run, emulator, store)
    assert run.task("batch").xcom()["cached"] == 0
    record_figures(f"Celery, two workers of {SLOTS} slots: {IMAGES} images in {seconds:.0f} s")


def test_machines_that_die_cost_nothing(machines, emulator, store, record_figures):
    store.write("in/items.jsonl", store.read("in/items.jsonl").replace(b"Cup", b"Mug"))
    run = play(machines, emulator, "deadly")
    for name in ("worker-1", "worker-2"):
        wait_until(lambda name=name: machines.busy(name), 120, run.describe, interval=0.05)
        machines.replace(name)
    run.task("made", 0).wait("deferred", "success", timeout=120)
    machines.replace("triggerer-1")
    assert run.wait(400) == "success", run.describe()
    check(run, emulator, store)
    tries = Counter(task["try_number"] for task in run.tasks())
    assert max(tries) > 1
    record_figures(
        f"Celery, three machines killed: {IMAGES} paid; tasks by tries {dict(sorted(tries.items()))}"
    )


def test_the_next_night_takes_the_batch_from_the_bucket(machines, emulator, store):
    run = play(machines, emulator, "next")
    assert run.wait(240) == "success", run.describe()
    check(run, emulator, store, cached=ITEMS)
    assert run.task("batch").xcom()["cached"] == ITEMS


def test_no_picture_stays_on_a_machine(machines):
    assert machines.pictures() == []
