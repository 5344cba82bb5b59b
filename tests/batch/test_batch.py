"""Many images in one task, against the emulator over a socket: what is made, handed on, paid for."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from airflow.sdk import ObjectStoragePath, task
from PIL import Image

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.batches import BatchTask, check_paid_once, submissions
from tests.support.object_store import FOLDER, bucket
from tests.support.pipelines import Pipeline

ITEMS = ["A fox", {"prompt": "A bear", "size": "3:2", "id": "sku-7"}, "A fox", {"prompt": "Two", "n": 2}]


def test_each_item_is_made_stored_and_named(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": ITEMS})
    result = batch.attempt()
    manifest = batch.manifest()
    assert result == {
        "manifest": result["manifest"],
        "total": 4,
        "completed": 4,
        "failed": 0,
        "images": 5,
        "submissions": 4,
        "kept": 0,
        "cost_usd": 0.075,
        "cost_estimated": False,
        "cached": 0,
        "saved_usd": 0.0,
        "failed_items": [],
    }
    assert batch.xcoms["manifest"] == result["manifest"]
    assert batch.xcoms["batch"]["total"] == 4
    assert [line["index"] for line in manifest] == [0, 1, 2, 3]
    assert [line["request"]["prompt"] for line in manifest] == ["A fox", "A bear", "A fox", "Two"]
    assert [line["id"] for line in manifest] == [None, "sku-7", None, None]
    assert [line["error"] for line in manifest] == [None] * 4
    assert {path.as_uri() for path in batch.pictures()} == {uri for line in manifest for uri in line["uris"]}
    for image in (image for line in manifest for image in line["images"]):
        path = Path(image["uri"].removeprefix("file://"))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]
        with Image.open(path) as picture:
            assert picture.size == (image["width"], image["height"])
    assert [manifest[1]["images"][0][side] for side in ("width", "height")] == [1536, 1024]
    rows = submissions(emulator)
    assert len({row["client_business_id"] for row in rows}) == 4
    assert {line["generation_id"] for line in manifest} == {row["id"] for row in rows}


def test_a_batch_of_one(emulator: Any, tmp_path: Path) -> None:
    assert BatchTask(tmp_path, {"items": ["A fox"], "max_in_flight": 1}).attempt()["completed"] == 1


PHOTO = "in/photo.png"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / PHOTO
    path.parent.mkdir()
    Image.new("RGB", (64, 64), "orange").save(path)
    return path


def jsonl(folder: Path, photo: Path) -> Path:
    rows = [
        "A fox",
        {"prompt": "Two", "n": 2, "id": 7},
        {"prompt": "Autumn", "reference_images": [str(photo)]},
    ]
    path = folder / "items.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return path


def comma_separated(folder: Path, photo: Path) -> Path:
    path = folder / "items.CSV"
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets do
        rows = csv.DictWriter(file, ["prompt", "n", "id", "reference_images"])
        rows.writeheader()
        rows.writerow({"prompt": "A fox"})
        rows.writerow({"prompt": "Two", "n": "2", "id": "7"})
        rows.writerow({"prompt": "Autumn", "reference_images": json.dumps([str(photo)])})
        file.write("\r\n")
    return path


@pytest.mark.parametrize("write", [jsonl, comma_separated])
@pytest.mark.parametrize("kind", [str, ObjectStoragePath, lambda path: path])
def test_items_of_a_file(emulator: Any, tmp_path: Path, photo: Path, write: Any, kind: Any) -> None:
    batch = BatchTask(tmp_path / "out", {"items": kind(write(tmp_path, photo)), "resolution": "1k"})
    assert batch.attempt()["images"] == 4
    lines = batch.manifest()
    assert [line["request"]["prompt"] for line in lines] == ["A fox", "Two", "Autumn"]
    assert [line["request"]["n"] for line in lines] == [1, 2, 1]
    assert str(lines[1]["id"]) == "7"
    assert emulator.ledger()["requests"]["upload"] == 1


def test_items_of_other_tasks(emulator: Any, tmp_path: Path, database: None) -> None:
    pipeline = Pipeline("batch_of_outputs")
    with pipeline.tasks():

        @task
        def prompts() -> list[Any]:
            return ["A fox", {"prompt": "A bear", "id": 1}]

        @task
        def prompt(animal: str) -> str:
            return f"A {animal}"

        listed, mapped = prompts(), prompt.expand(animal=["owl", "cat", "hen"])
        table = pandas.DataFrame({"Prompt": ["A fox", "{{ not_a_template }}"], "price": [1.5, None]})
        for task_id, items in (("listed", listed), ("mapped", mapped), ("table", table)):
            GptImgBatchOperator(
                task_id=task_id, items=items, output_path=f"{tmp_path.as_uri()}/{task_id}", poll_interval=0.2
            )
    assert pipeline.run() == "success", pipeline.errors
    assert pipeline.xcom("listed")["completed"] == 2
    assert pipeline.xcom("mapped")["completed"] == 3
    assert pipeline.xcom("table")["completed"] == 2
    lines = (tmp_path / "table").glob("*.jsonl").__next__().read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [{"price": 1.5}, {"price": None}]
    assert json.loads(lines[1])["request"]["prompt"] == "{{ not_a_template }}"
    assert pipeline.xcom("mapped", "manifest") == pipeline.xcom("mapped")["manifest"]


def test_a_generator_is_read_once_and_kept(emulator: Any, tmp_path: Path) -> None:
    operator = BatchTask(tmp_path, {"items": (f"Animal {number}" for number in range(3))}).operator()
    assert operator.items == ["Animal 0", "Animal 1", "Animal 2"]


BAD = [
    ({"size": "3:2"}, "prompt=None"),
    ({"prompt": " "}, "prompt=' '"),
    ({"prompt": "None"}, "prompt='None'"),
    ("nan", "prompt='nan'"),
    ({"prompt": "A fox", "reference_images": None}, "reference_images=None"),
    ({"prompt": "A fox", "reference_images": ""}, "reference_images=''"),
    ({"prompt": "A fox", "reference_images": "None"}, "reference_images='None'"),
    ({"prompt": "A fox", "reference_images": [None]}, "reference_images=None"),
    ({"prompt": "A fox", "reference_images": float("nan")}, "reference_images=nan"),
    ({"prompt": "A fox", "n": "2"}, "n='2'"),
    ({"prompt": "A fox", "n": True}, "n=True"),
    ({"prompt": "A fox", "size": "17:3"}, "size='17:3'"),
    ({"prompt": "A fox", "resolution": "8K"}, "resolution='8K'"),
    ({"text": "A fox", "colour": "red"}, "its keys are text, colour. Say which one is the prompt"),
    ({"prompt": "A fox", "resolutoin": "4K"}, "'resolutoin' looks like resolution"),
    (
        {"prompt": "A fox", "image_urls": ["https://example.com/a.png"]},
        "'image_urls' looks like reference_images",
    ),
    ({"prompt": "A fox", "Prompt": "A bear"}, "prompt appears twice"),
    ({"prompt": "A fox", "extra_body": {1: 2, "a": 3}}, "plain JSON"),
    ({"prompt": "A fox", "extra_body": {"n": 2}}, "extra_body={'n': 2}"),
    ({"prompt": "A fox", "reference_images": "http://"}, "reference_images='http://'"),
    ({"prompt": "A fox", "reference_images": "data:image/png;base64,AA"}, "no data URIs"),
    (7, "items=7"),
    (["A fox"], "items=['A fox']"),
]


@pytest.mark.parametrize(("bad", "says"), BAD, ids=[says for _, says in BAD])
def test_a_bad_item_is_refused_before_anything_is_paid(
    emulator: Any, tmp_path: Path, bad: object, says: str
) -> None:
    with pytest.raises(exceptions.GptImgValidationError) as refused:
        BatchTask(tmp_path, {"items": ["A fox", "A bear", bad]}).attempt()
    assert "item 2: " in str(refused.value)
    assert says in str(refused.value)
    assert "is not allowed" in str(refused.value)
    assert emulator.ledger()["requests"]["submit"] == 0


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "there are no items"),
        ({"prompt": "A fox"}, "a list of prompts and dicts, a DataFrame, or a file is needed"),
        (7, "a list of prompts and dicts, a DataFrame, or a file is needed"),
        ("A fox", "ends in one of .jsonl, .ndjson, .csv"),
        ("['A fox']", "render_template_as_native_obj"),
    ],
)
def test_what_are_no_items(emulator: Any, tmp_path: Path, items: Any, says: str) -> None:
    with pytest.raises(exceptions.GptImgValidationError, match=says):
        BatchTask(tmp_path, {"items": items}).attempt()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("items.jsonl", b'"A fox"\n{"prompt":', "line 2 is not JSON"),
        ("items.jsonl", b'"\xe9"', "it cannot be read"),
        ("items.jsonl", b"\n", "there are no items"),
        ("items.csv", b"prompt,n\nA fox\n", "line 2 has a different number of cells"),
        ("items.csv", b"prompt,n\nA fox,1,2\n", "line 2 has a different number of cells"),
        ("items.csv", b"prompt,n\nA fox,two\n", "item 0: n='two'"),
        ("items.csv", b"", "there are no items"),
    ],
)
def test_files_that_are_no_items(emulator: Any, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(exceptions.GptImgValidationError, match=says):
        BatchTask(tmp_path / "out", {"items": str(tmp_path / name)}).attempt()
    assert emulator.ledger()["requests"]["submit"] == 0


def test_a_file_that_is_not_there_may_come(emulator: Any, tmp_path: Path) -> None:
    with pytest.raises(exceptions.GptImgStorageError, match="cannot be read"):
        BatchTask(tmp_path / "out", {"items": str(tmp_path / "items.jsonl")}).attempt()


def test_a_batch_without_a_good_item_is_refused_also_if_it_is_to_go_on(emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"text": "A fox"}\n{"text": "A bear"}\n')
    batch = BatchTask(
        tmp_path / "out",
        {"items": tmp_path / "items.jsonl", "on_item_error": "continue", "max_failed_items": 9},
    )
    with pytest.raises(exceptions.GptImgValidationError, match="2 of 2 items are not allowed"):
        batch.attempt()


def test_bad_items_fail_alone_if_others_are_to_go_on(emulator: Any, tmp_path: Path) -> None:
    items = ["A fox", {"prompt": "\udc80"}, {"prompt": "A bear", "n": object()}]
    batch = BatchTask(tmp_path, {"items": items, "on_item_error": "continue"})
    result = batch.attempt()
    assert (result["completed"], result["failed"]) == (1, 2)
    assert [failed["reason"] for failed in result["failed_items"]] == ["invalid", "invalid"]
    assert [line["status"] for line in batch.manifest()] == ["completed", "failed", "failed"]
    with pytest.raises(exceptions.GptImgValidationError, match="2 of 3 items are not allowed"):
        BatchTask(
            tmp_path / "few", {"items": items, "on_item_error": "continue", "max_failed_items": 1}
        ).attempt()
    assert len(submissions(emulator)) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_in_flight": 0}, "max_in_flight=0"),
        ({"on_item_error": "ignore"}, "on_item_error='ignore'"),
        ({"max_failed_items": 3}, "on_item_error='continue'"),
        ({"max_failed_items": -1, "on_item_error": "continue"}, "max_failed_items=-1"),
        ({"poll_interval": 0}, "poll_interval=0"),
        ({"timeout": -1}, "timeout=-1"),
    ],
)
def test_refused_when_the_dag_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GptImgBatchOperator(**{"task_id": "images", "items": ["A fox"], "output_path": "/x", **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"items": ["A fox", {"prompt": "A bear", "size": "4:3"}]},
            "1 of 2 items are not allowed: item 1: size",
        ),
        ({"items": [{"id": "sku-7", "prompt": "A fox", "n": 0}]}, "item 'sku-7': n=0"),
        ({"items": ["A fox"], "size": "4:3"}, "item 0: size='4:3'"),
        ({"items": [{"id": "a", "prompt": "A fox"}, {"id": "a", "prompt": "A bear"}]}, "the same id"),
        ({"items": ["A fox"], "file_name": "{id}.{format}"}, "every item needs an id"),
    ],
)
def test_items_in_the_dag_are_refused_when_it_is_parsed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(exceptions.GptImgValidationError, match=says):
        GptImgBatchOperator(task_id="images", output_path="/x", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"items": [{"prompt": "A fox", "size": "{{ params.size }}"}]},
        {"items": ["A fox"], "size": "4:3", "resolution": "{{ params.resolution }}"},
        {"items": [{"prompt": "A fox", "size": "4:3"}, "A bear"], "on_item_error": "continue"},
        {"items": "file:///items.jsonl", "size": "4:3"},
        {"items": []},
    ],
)
def test_items_that_may_be_right_are_checked_when_the_task_runs(arguments: dict[str, Any]) -> None:
    GptImgBatchOperator(task_id="images", output_path="/x", **arguments)


def test_the_same_in_a_bucket(emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bucket()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    store.write("in/items.jsonl", b'"A fox"\n"A bear [fail]"\n"An owl"\n')
    batch = BatchTask(
        tmp_path,
        {
            "items": f"{FOLDER}/in/items.jsonl",
            "output_path": f"{FOLDER}/out",
            "file_name": "{item}.{format}",
        },
    )
    with pytest.raises(exceptions.GptImgBatchError):
        batch.attempt()
    store.write("in/items.jsonl", b'"A fox"\n"A bear"\n"An owl"\n')
    batch.clear()
    result = batch.attempt()
    assert result["completed"] == 3
    keys = store.listing("out/")
    images = [key for key in keys if key.endswith(".png")]
    assert images == ["out/0.png", "out/1.png", "out/2.png"]
    manifest = result["manifest"].removeprefix(f"{FOLDER}/")
    lines = [json.loads(line) for line in store.read(manifest).splitlines()]
    for line in lines:
        (image,) = line["images"]
        content = store.read(image["uri"].removeprefix(f"{FOLDER}/"))
        assert hashlib.sha256(content).hexdigest() == image["sha256"]
    assert not [key for key in keys if ".part" in key]
    check_paid_once(emulator)


@pytest.mark.parametrize(
    "given", [str, lambda path: path, lambda path: {"urls": [str(path)]}, lambda path: [path]]
)
def test_prompts_share_the_reference_images_of_the_batch(
    emulator: Any, tmp_path: Path, photo: Path, given: Any
) -> None:
    batch = BatchTask(tmp_path / "out", {"items": ["A fox", "A bear"], "reference_images": given(photo)})
    assert batch.attempt()["completed"] == 2


def test_a_data_uri_for_all_items_is_refused_before_anything_is_paid(emulator: Any, tmp_path: Path) -> None:
    batch = BatchTask(tmp_path, {"items": ["A fox"], "reference_images": "data:image/png;base64,AAAA"})
    with pytest.raises(exceptions.GptImgValidationError, match="data URIs"):
        batch.attempt()
    assert submissions(emulator) == []
