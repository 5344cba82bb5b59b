"""A pipeline over S3 with broken pictures, bad answers, killed tasks: each image once, each file whole."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections import Counter

import pytest
from PIL import Image

from tests.support.object_store import CONN_ID, bucket

FAULTS = [
    {"on": "download", "kind": "truncate", "probability": 0.25, "times": 12},
    {"on": "download", "kind": "malformed", "probability": 0.25, "times": 12},
    {"on": "upload", "kind": "status", "status": 502, "probability": 0.3, "times": 6},
    {"on": "status", "kind": "status", "status": 500, "probability": 0.1, "times": 12},
    {"on": "submit", "kind": "reset_after", "probability": 0.3, "times": 3},
]
IMAGES = {"made": 6, "from_file": 6, "from_url": 2, "all": 1, "kept": 1, "drawn": 3}
SUBMISSIONS = 6 + 3 + 2 + 1 + 1 + 3
KILLS = 4


@pytest.fixture(scope="module")
def store(airflow_stack):
    started = bucket()
    extra = json.dumps(started.connection["extra"])
    connection = {"connection_id": CONN_ID, **started.connection, "extra": extra}
    airflow_stack.api.request("POST", "/connections", json=connection)
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(photo, "PNG")
    started.write("in/photo.png", photo.getvalue())
    yield started
    airflow_stack.api.request("DELETE", f"/connections/{CONN_ID}")


@pytest.fixture(scope="module")
def run(airflow_stack, emulator_process, store):
    emulator_process.reset()
    emulator_process.faults(FAULTS)
    run = airflow_stack.api.start_dag("object_storage", conf={"run": "first"})
    killed = 0
    while killed < KILLS and run.state() in ("queued", "running"):
        killed += airflow_stack.kill_tasks() > 0
        time.sleep(4)
    assert run.wait(400) == "success", run.describe()
    return run


def test_each_image_is_paid_once(run, emulator_process, record_figures):
    rows = emulator_process.ledger()["submissions"]
    assert len(rows) == SUBMISSIONS
    assert {row["status"] for row in rows} == {"completed"}
    assert len({row["client_business_id"] for row in rows}) == SUBMISSIONS
    tries = Counter(task["try_number"] for task in run.tasks())
    record_figures(f"pipeline over S3, tasks by tries: {dict(sorted(tries.items()))}; paid {len(rows)}")
    assert max(tries) > 1  # somebody was killed


def test_every_file_is_there_whole_and_nothing_else(run, store):
    keys = store.listing("first/")
    assert Counter(key.split("/")[1] for key in keys) == IMAGES
    assert all(key.endswith(".png") for key in keys)
    for key in keys:
        with Image.open(io.BytesIO(store.read(key))) as image:
            image.load()
            assert image.size == (1024, 1024)


def test_what_is_handed_on_is_what_lies_there(run, store):
    stored = [task for task in run.tasks() if task["task_id"] not in ("uploaded", "submitted")]
    for task in stored:
        result = run.task(task["task_id"], task["map_index"]).xcom()
        assert result["urls"] == [image["uri"] for image in result["images"]]
        for image in result["images"]:
            content = store.read(image["uri"].removeprefix("s3://store@pictures/"))
            assert hashlib.sha256(content).hexdigest() == image["sha256"]
            assert len(content) == image["bytes"]


def test_names_of_ones_own(run, store):
    names = [key.rpartition("/")[2] for key in store.listing("first/from_file/")]
    assert names == ["0-0.png", "0-1.png", "1-0.png", "1-1.png", "2-0.png", "2-1.png"]
