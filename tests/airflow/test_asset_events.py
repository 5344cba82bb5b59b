"""Asset events in a real Airflow: what a DAG that is scheduled on images learns of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dev.airflow_run import DagRun
from dev.processes import wait_until

CONSUMERS = ("asset_consumer", "asset_alias_consumer", "asset_ref_consumer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def producer(airflow_stack, emulator_process, folder):
    emulator_process.reset()
    api = airflow_stack.api
    for consumer in CONSUMERS:
        api.wait_dag(consumer)
        api.unpause(consumer)
    run = api.start_dag("asset_producer", conf={"folder": str(folder), "day": "monday"})
    assert run.wait(180) == "success", run.describe()
    return run


def received(api, consumer):
    """Return what the only run of a consumer got, by asset."""

    def probe():
        return api.collect(f"/dags/{consumer}/dagRuns", "dag_runs")

    (found,) = wait_until(probe, 60, lambda: f"no run of {consumer}\n{api.evidence()}", interval=0.3)
    run = DagRun(api, consumer, found["dag_run_id"])
    assert run.wait(120) == "success", run.describe()
    return run.task("received").xcom()


def test_the_next_dag_learns_which_images_were_stored(producer, folder):
    result = producer.task("stored").xcom()
    extras = received(producer.api, "asset_consumer")
    assert list(extras) == ["s3://cards/daily"]
    (extra,) = extras["s3://cards/daily"]
    assert extra == {
        "generation_id": result["generation_id"],
        "uris": [image["uri"] for image in result["images"]],
        "sha256": [image["sha256"] for image in result["images"]],
        "expires_at": None,
        "prompt": "a greeting card",
        "model": "the author's",
        "size": "1:1",
        "cost_usd": 0.03,
        "cost_estimated": False,
        "cached": False,
        "campaign": "winter",
    }
    files = sorted((folder / "monday").iterdir())
    assert sorted(extra["uris"]) in ([str(path) for path in files], [path.as_uri() for path in files])
    assert sorted(extra["sha256"]) == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def test_an_alias_leads_to_the_folder_of_the_files(producer, folder):
    extras = received(producer.api, "asset_alias_consumer")
    ((asset, (extra,)),) = extras.items()
    assert asset == (folder / "monday").as_uri()
    assert extra["generation_id"] == producer.task("stored").xcom("generation_id")
    assert {Path(uri).name for uri in extra["uris"]} == {path.name for path in (folder / "monday").iterdir()}


def test_a_sensor_says_it_too_and_an_outlet_may_be_a_reference(producer):
    sensed = producer.task("sensed").xcom()
    ((extra,),) = received(producer.api, "asset_ref_consumer").values()
    assert extra["generation_id"] == sensed["generation_id"]
    assert extra["uris"] == sensed["urls"]
    assert (extra["prompt"], extra["sha256"]) == ("a submitted card", [])
    assert extra["expires_at"] == sensed["expires_at"]


@pytest.mark.parametrize(("task", "images"), [("on_worker", 1), ("submitted", 0)])
def test_every_way_of_the_operator_fills_its_event(producer, task, images):
    events = producer.api.collect("/assets/events", "asset_events", source_dag_id="asset_producer")
    (extra,) = [event["extra"] for event in events if event["source_task_id"] == task]
    assert extra["generation_id"] == producer.task(task).xcom("generation_id")
    assert len(extra["uris"]) == images
