"""The provider in a real Airflow: scheduler, triggerer, API server, DAG processor and the emulator."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES
from dev.processes import wait_until
from tests.support.airflow_versions import RENDERS_MAP_INDEXES

RESULT_KEYS = {
    "generation_id",
    "status",
    "model",
    "prompt",
    "size",
    "resolution",
    "urls",
    "images",
    "created_at",
    "completed_at",
    "expires_at",
    "submissions",
    "missing",
    "cost_usd",
    "cost_estimated",
    "cached",
}


@pytest.fixture(scope="module")
def run(airflow_stack, emulator_process, tmp_path_factory):
    emulator_process.reset()
    folder, called = tmp_path_factory.mktemp("stored").as_uri(), tmp_path_factory.mktemp("called")
    run = airflow_stack.api.start_dag("images", conf={"folder": folder, "called": str(called)})
    assert run.wait(180) == "success", run.describe()
    return run


def test_every_way_succeeds_and_each_image_is_paid_once(run, emulator_process):
    assert set(run.states().values()) == {"success"}
    ledger = emulator_process.ledger()
    assert len(ledger["submissions"]) == 14
    assert {row["status"] for row in ledger["submissions"]} == {"completed"}
    assert len({row["client_business_id"] for row in ledger["submissions"]}) == 14
    assert all(row["client_business_id"].startswith("af-") for row in ledger["submissions"])


def test_xcom_is_plain_json_whichever_way_it_was_written(run):
    for name in ("single", "ended", "ended_with_outlet", "chained", "sensed", "sensed_by_id"):
        task = run.task(name)
        result = task.xcom()
        assert set(result) == RESULT_KEYS, name
        assert result["status"] == "completed"
        assert task.xcom("urls") == result["urls"] == [image["url"] for image in result["images"]]
        assert result["submissions"] == (None if name == "sensed_by_id" else 1)
    assert len(run.task("single").xcom("urls")) == 2
    assert run.task("single").xcom("generation_id") == run.task("single").xcom()["generation_id"]


def test_downstream_gets_lists_and_dicts(run):
    assert run.task("single_types").xcom() == ["list", "str", "dict", "list"]
    assert run.task("ended_types").xcom() == ["list", "str", "dict", "list"]
    assert run.task("mapped_count").xcom() == [1, 1, 1]


def test_mapped_results_name_their_own_prompt(run):
    prompts = [run.task("mapped", index).xcom()["prompt"] for index in range(3)]
    assert prompts == ["a red fox", "a blue whale", "a green parrot"]


def test_ended_from_the_trigger_needs_no_second_worker(run):
    from airflow.sdk.execution_time.xcom import XCom

    if not hasattr(XCom, "aset"):
        pytest.skip("this Airflow cannot write an XCom from the triggerer: the task is resumed instead")
    said = "The task ends in the triggerer"
    assert said not in run.task("single").log()
    for task in (run.task("ended"), run.task("mapped", 1), run.task("sensed")):
        log = task.log()
        assert said in log
        assert "Waiting for generation" in log
        assert log.count("Filling up the DagBag") == 1  # which every worker says


def test_nothing_is_lost_that_only_a_worker_does(run):
    """It is resumed for them; see tests/tasks/test_ending.py."""
    wanted, conf = {"on_success_callback", "post_execute", "method"}, run.api.request("GET", run.path)["conf"]

    def called():
        return {path.name for path in Path(conf["called"]).iterdir()}

    wait_until(lambda: called() == wanted, 60, lambda: f"called were {called()}")  # the DAG processor's time
    shown = [ti["rendered_map_index"] for ti in run.tasks("named")]
    if RENDERS_MAP_INDEXES:
        assert shown == ["gpt-image-2: a red fox", "gpt-image-2: a blue whale"]


def test_outlets_make_the_task_resume(run):
    assert "is completed with" in run.task("ended_with_outlet").log()
    events = run.api.collect("/assets/events", "asset_events", source_dag_id="images")
    assert [event["source_task_id"] for event in events] == ["ended_with_outlet"]


def test_an_output_path_makes_the_task_resume_and_store(run):
    from urllib.parse import urlsplit

    result = run.task("stored").xcom()
    (image,) = result["images"]
    assert result["urls"] == [image["uri"]]
    path = Path(urlsplit(image["uri"]).path)
    assert path.stat().st_size == image["bytes"]
    assert (image["width"], image["height"], image["format"]) == (1024, 1024, "png")
    assert [found.name for found in path.parent.iterdir() if found.is_file()] == [path.name]


def test_the_urls_open_as_pictures_of_the_right_size(run):
    import io
    import urllib.request

    from PIL import Image

    for name, size in (("single", (2048, 1152)), ("ended", (1024, 1024))):
        for url in run.task(name).xcom("urls"):
            with urllib.request.urlopen(url) as answer:
                assert Image.open(io.BytesIO(answer.read())).size == size


def test_the_sensor_hands_on_what_the_operator_would(run):
    sensed, by_id = run.task("sensed").xcom(), run.task("sensed_by_id").xcom()
    assert sensed["prompt"] == "[slow] a bridge"
    only_the_submitter_knows = {"prompt", "size", "resolution", "submissions"}
    assert {key for key in sensed if sensed[key] != by_id[key]} == only_the_submitter_knows


def test_a_task_whose_trigger_is_lost_knows_what_it_asked_for(run):
    task = run.task("lost_trigger")
    result = task.xcom()
    assert result["status"] == "completed"
    assert (result["submissions"], len(result["images"])) == (1, 1)
    if run.mismatches()["lost_trigger"]:
        return
    log = task.log()
    assert "Airflow stopped the wait" in log
    if "task state store" not in log:  # Airflow 3.3 remembers
        assert result["prompt"] == "a kite"


def test_every_field_renders_in_the_ui(run):
    from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

    rendered = run.task("stored").details()["rendered_fields"]
    assert set(rendered) == set(GptImgGenerateOperator.template_fields)
    assert rendered["prompt"] == "a harbour"
    assert rendered["output_path"].startswith("file:///")
    assert rendered["n"] in (1, "1")


def test_each_task_links_to_its_images(run):
    for name, index in (("single", -1), ("stored", -1), ("sensed", -1), ("mapped", 1)):
        path = f"{run.path}/taskInstances/{name}/links"
        if not HAS_PLUGIN_PAGES and index >= 0:
            continue  # Airflow 3.0.0 answers 500 to this for every mapped task
        links = run.api.request("GET", path, params={"map_index": index})["extra_links"]
        mapped = f"/mapped/{index}" if index >= 0 else ""
        where = f"dags/images/runs/{quote(run.run_id, safe='')}/tasks/{name}{mapped}"
        if not HAS_PLUGIN_PAGES:
            assert links == {}
            continue
        assert links["Images"] == f"{where}/plugin/gptimg-images"
        pictures = f"gptimg/dags/images/runs/{quote(run.run_id, safe='')}/tasks/{name}?map_index={index}"
        assert links["Image 1"] == f"{pictures}#picture-0-0"
