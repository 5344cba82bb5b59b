"""Lineage, in the classes of the OpenLineage provider and as its client writes it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.openlineage.utils.utils import translate_airflow_asset
from openlineage.client.event_v2 import Job, Run, RunEvent
from openlineage.client.serde import Serde
from PIL import Image

from airflow_provider_gptimg.assets import image_asset
from airflow_provider_gptimg.tasks.lineage import dataset_name, lineage_of

SERVICE = "https://toapis.com"


def stored(*uris: str, generation_id: str = "gen_1") -> dict[str, Any]:
    """Return a result of images that were stored, each of 10 bytes."""
    return {
        "generation_id": generation_id,
        "prompt": "a secret prompt",
        "urls": list(uris),
        "images": [
            {"index": index, "url": f"https://files.example/secret-{index}.png", "uri": uri, "bytes": 10}
            for index, uri in enumerate(uris)
        ],
    }


def emitted(inputs: list[str], result: Any, service: str = SERVICE) -> dict[str, Any]:
    """Return the inputs, outputs and run facets of the event that the client would send."""
    lineage = lineage_of(inputs=inputs, result=result, service=service)
    assert lineage is not None
    event = RunEvent(
        eventTime="2026-11-01T10:00:00Z",
        producer="tests",
        run=Run(runId=str(uuid4()), facets=lineage.run_facets),
        job=Job(namespace="tests", name="cards"),
        inputs=lineage.inputs,
        outputs=lineage.outputs,
    )
    sent = json.loads(Serde.to_json(event))
    return {"inputs": sent["inputs"], "outputs": sent["outputs"], "run": sent["run"].get("facets", {})}


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def said(facet: dict[str, Any]) -> dict[str, Any]:
    """Return a facet without who produced it by which schema."""
    return {key: value for key, value in facet.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://bucket/cards/a.png", "s3://bucket", "cards/a.png"),
        ("s3://aws_default@bucket/cards/a.png", "s3://bucket", "cards/a.png"),
        ("s3://bucket", "s3://bucket", "/"),
        ("gcs://bucket/a.png", "gs://bucket", "a.png"),
        ("file:///data/a.png", "file", "/data/a.png"),
        ("/data//a.png", "file", "/data/a.png"),
        ("a.png", "file", str(Path.cwd() / "a.png")),
        ("https://host:8443/a/b.png", "https://host:8443", "a/b.png"),
        ("HTTP://user:word@host/b.png?X-Amz-Signature=secret#x", "http://host", "b.png"),
    ],
)
def test_datasets_are_called_as_openlineage_says(uri: str, namespace: str, name: str) -> None:
    assert dataset_name(uri) == (namespace, name)


@pytest.mark.parametrize("folder", ["s3://aws_default@bucket/cards/daily/", "s3://bucket", "/data/cards"])
def test_the_output_is_the_dataset_of_the_folders_asset(folder: str) -> None:
    """So that the DAG which is scheduled on the asset goes on where this one ends."""
    lineage = lineage_of(inputs=[], result=stored(f"{folder.rstrip('/')}/0.png"), service=SERVICE)
    theirs = translate_airflow_asset(image_asset(folder), None)
    assert lineage is not None
    assert theirs is not None
    ours = [(dataset.namespace, dataset.name) for dataset in lineage.outputs]
    assert ours == [(theirs.namespace, theirs.name)]


def test_an_output_says_how_much_and_which_files() -> None:
    pytest.importorskip("openlineage.client.generated.base_subset_dataset", reason="an older client")
    (output,) = emitted([], stored("s3://conn@bucket/cards/0.png", "s3://conn@bucket/cards/1.png"))["outputs"]
    assert set(output["outputFacets"]) == {"outputStatistics", "subset"}
    assert said(output["outputFacets"]["outputStatistics"]) == {"size": 20, "fileCount": 2}
    assert output["outputFacets"]["subset"]["outputCondition"] == {
        "type": "location",
        "locations": ["s3://bucket/cards/0.png", "s3://bucket/cards/1.png"],
    }


def test_an_older_client_does_not_hear_which_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client.generated.base_subset_dataset", None)
    (output,) = emitted([], stored("/data/0.png"))["outputs"]
    assert set(output["outputFacets"]) == {"outputStatistics"}


def test_the_generation_is_the_external_query() -> None:
    sent = emitted([], stored("/data/0.png"), service="https://user:word@toapis.com/v1")
    facets = {name: said(facet) for name, facet in sent["run"].items()}
    assert facets == {"externalQuery": {"externalQueryId": "gen_1", "source": "https://toapis.com/v1"}}


def test_it_says_what_the_images_cost() -> None:
    made = [
        {**stored("s3://cards/a.png"), "cost_usd": 0.015, "cost_estimated": estimated} for estimated in (0, 1)
    ]
    facet = emitted([], [*made, stored("s3://cards/b.png")])["run"]["gptimg_cost"]
    assert said(facet) == {"costUsd": 0.03, "estimated": True}


def test_it_names_the_task_that_made_what_was_taken_from_the_cache() -> None:
    made_by = {"dag_id": "catalogue", "run_id": "night", "task_id": "draw", "map_index": -1}
    taken = {**stored("s3://cards/a.png", "s3://cards/b.png"), "cached": True, "made_by": made_by}
    facet = emitted([], [taken, taken, stored("s3://cards/c.png")])["run"]["gptimg_cached"]
    assert said(facet) == {"images": 4, "madeBy": [made_by]}


def test_inputs_are_named_once_and_what_has_no_name_is_left_out() -> None:
    given = ["https://host/a.png?key=1", "https://host/a.png?key=2", "data:image/png;base64,AA", "s3:///x"]
    sent = emitted(given, stored("/data/0.png"))
    assert names(sent["inputs"]) == [("https://host", "a.png")]


def test_neither_prompts_nor_result_urls_get_out() -> None:
    assert "secret" not in json.dumps(emitted(["https://host/a?secret"], stored("/data/0.png")))


def test_several_results_add_up_by_folder() -> None:
    results = [stored("/a/0.png", "/b/0.png"), stored("/a/1.png", generation_id="gen_2")]
    sent = emitted([], results)
    assert names(sent["outputs"]) == [("file", "/a"), ("file", "/b")]
    sizes = [output["outputFacets"]["outputStatistics"]["size"] for output in sent["outputs"]]
    assert sizes == [20, 10]
    assert sent["run"] == {}


@pytest.mark.parametrize(
    ("result", "facets"),
    [
        (None, []),
        ({"generation_id": "gen_1"}, ["externalQuery"]),
        ({**stored(), "images": [{"index": 0, "url": "https://files.example/0.png"}]}, ["externalQuery"]),
    ],
    ids=["nothing known", "failed", "not stored"],
)
def test_what_was_not_stored_is_no_dataset(result: Any, facets: list[str]) -> None:
    sent = emitted(["/data/in.png"], result)
    assert names(sent["inputs"]) == [("file", "/data/in.png")]
    assert sent["outputs"] == []
    assert list(sent["run"]) == facets


@pytest.mark.parametrize(
    "module",
    ["airflow.providers.openlineage.extractors", "airflow.providers.common.compat.openlineage.facet"],
)
def test_without_the_provider_there_is_none(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert lineage_of(inputs=[], result=stored("/data/0.png"), service=SERVICE) is None


@pytest.mark.usefixtures("database")
def test_the_provider_asks_the_operator_and_sends_it(
    gptimg_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its listener and its client, in a process of its own: both are made when Airflow starts."""
    events, picture, dag_file = tmp_path / "events", tmp_path / "in.png", tmp_path / "dags" / "lineage_dag.py"
    dag_file.parent.mkdir()
    dag_file.write_text(textwrap.dedent(DAG_SOURCE))
    Image.new("RGB", (8, 8)).save(picture)
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dag_file.parent))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", gptimg_emulator.airflow_connection)
    command = [sys.executable, str(dag_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    sent = [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []
    ours = {(event["eventType"], event["job"]["name"]): event for event in sent}
    assert ("COMPLETE", "lineage.stored") in ours, ended.stderr[-3000:]
    stored_event, failed_event = ours["COMPLETE", "lineage.stored"], ours["FAIL", "lineage.failing"]
    assert names(stored_event["inputs"]) == [("file", str(picture))]
    assert names(stored_event["outputs"]) == [("file", str(tmp_path / "out"))]
    (written,) = (tmp_path / "out").iterdir()
    statistics = stored_event["outputs"][0]["outputFacets"]["outputStatistics"]
    assert said(statistics) == {"size": written.stat().st_size, "fileCount": 1}
    billed = {row["id"] for row in gptimg_emulator.ledger()["submissions"]}
    told = {
        event["run"]["facets"]["externalQuery"]["externalQueryId"] for event in (stored_event, failed_event)
    }
    assert told == billed
    assert names(failed_event["inputs"]) == [("file", str(picture))]
    assert failed_event["outputs"] == []


DAG_SOURCE = """
    from pathlib import Path

    from airflow.sdk import DAG

    from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

    HERE = Path(__file__).parent.parent

    with DAG("lineage", schedule=None) as dag:
        for task_id, prompt in (("stored", "a card"), ("failing", "[fail]")):
            GptImgGenerateOperator(
                task_id=task_id,
                prompt=prompt,
                reference_images=str(HERE / "in.png"),
                output_path=str(HERE / "out"),
                deferrable=False,
                poll_interval=0.2,
            )

    if __name__ == "__main__":
        dag.test()
    """
