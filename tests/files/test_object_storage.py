"""Files in, files out, in a real S3 server: the same as on a disk, and what only a store does."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest
from PIL import Image

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator
from tests.support.object_store import FOLDER, Bucket, bucket
from tests.support.pipelines import Pipeline, generate


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    empty = bucket()
    for name, value in empty.environment.items():
        monkeypatch.setenv(name, value)
    return empty


def test_stored_whole_and_handed_on(emulator: Any, store: Bucket) -> None:
    pipeline = Pipeline("to_s3")
    with pipeline.tasks():
        first = generate(
            n=2, output_path=f"{FOLDER}/cards/{{{{ ds_nodash }}}}/", file_name="fox-{index}.{format}"
        )
        generate(task_id="again", reference_images=first.output)
        GptImgUploadOperator(task_id="uploaded", files=first.output["urls"])
    assert pipeline.run() == "success", pipeline.errors
    result = pipeline.xcom("images")
    first_key, second_key = store.listing()
    assert first_key.startswith("cards/20")
    assert (first_key.endswith("/fox-0.png"), second_key.endswith("/fox-1.png")) == (True, True)
    assert result["urls"] == [f"{FOLDER}/{key}" for key in (first_key, second_key)]
    for image, key in zip(result["images"], (first_key, second_key), strict=True):
        content = store.read(key)
        assert image["sha256"] == hashlib.sha256(content).hexdigest()
        assert Image.open(io.BytesIO(content)).size == (image["width"], image["height"])
    assert emulator.ledger()["requests"]["upload"] == 4


@pytest.mark.parametrize("kind", ["truncate", "malformed"])
def test_a_broken_picture_never_gets_the_final_name(emulator: Any, store: Bucket, kind: str) -> None:
    emulator.faults([{"on": "download", "kind": kind}])
    pipeline = Pipeline("broken_to_s3")
    with pipeline.tasks():
        generate(output_path=FOLDER)
    assert pipeline.run() == "failed"
    assert isinstance(pipeline.errors[0], exceptions.GptImgDownloadError)
    assert store.listing() == []


def test_a_mistyped_bucket_is_not_made(emulator: Any, store: Bucket) -> None:
    pipeline = Pipeline("no_such_bucket")
    with pipeline.tasks():
        generate(output_path="s3://store@pictuers/cards")
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, exceptions.GptImgStorageError)
    assert "s3://store@pictuers/cards/images-" in str(error)
    assert "accepted and billed" in str(error)
    assert store.buckets() == ["pictures"]


def test_what_is_no_picture_costs_nothing(emulator: Any, store: Bucket) -> None:
    store.write("half.txt", b"no picture")
    pipeline = Pipeline("bad_reference")
    with pipeline.tasks():
        generate(reference_images=f"{FOLDER}/half.txt")
    assert pipeline.run() == "failed"
    assert "this file begins with b'no picture'" in str(pipeline.errors[0])
    assert emulator.ledger()["requests"]["submit"] == 0


def test_names_are_literal(emulator: Any, store: Bucket) -> None:
    """What other file systems take for a pattern is part of a name; nobody else's object is touched."""
    others = {"what?/.5*.png.part": b"another task's", "what?/5-of-others.png": b"x", "what/5a.png": b"x"}
    for key, content in others.items():
        store.write(key, content)
    names = {"love": "What is love?", "five": "5*", "one": "[1]", "chain": "a::b", "hash": "#1 of 2"}
    pipeline = Pipeline("literal_names")
    with pipeline.tasks():
        for task_id, name in names.items():
            made = generate(task_id=task_id, output_path=f"{FOLDER}/what?", file_name=name)
            generate(task_id=f"from_{task_id}", reference_images=made.output)
    assert pipeline.run() == "success", pipeline.errors
    assert store.listing() == sorted([*others, *(f"what?/{name}.png" for name in names.values())])
    assert all(store.read(key) == content for key, content in others.items())
    assert pipeline.xcom("love")["urls"] == [f"{FOLDER}/what?/What is love?.png"]
    assert store.client.head_object(Bucket="pictures", Key="what?/[1].png")["ContentType"] == "image/png"


def test_a_question_mark_at_the_end_of_the_folder_stays(emulator: Any, store: Bucket) -> None:
    pipeline = Pipeline("question_mark")
    with pipeline.tasks():
        generate(output_path=f"{FOLDER}/what?", file_name="fox")
        GptImgBatchOperator(task_id="several", items=["A hen"], output_path=f"{FOLDER}/[really]?")
    assert pipeline.run() == "success", pipeline.errors
    assert "what?/fox.png" in store.listing()
    assert {key.split("/")[0] for key in store.listing()} == {"what?", "[really]?"}
    assert pipeline.xcom("several")["completed"] == 1


def test_a_name_that_the_store_would_change_is_refused(emulator: Any, store: Bucket) -> None:
    """s3fs reads a version out of it."""
    pipeline = Pipeline("no_such_name")
    with pipeline.tasks():
        generate(output_path=FOLDER, file_name="a?versionId=7")
        generate(task_id="long", output_path=f"{FOLDER}/{'x' * 200}/{'y' * 200}/{'z' * 700}")
    assert pipeline.run() == "failed"
    said = " ".join(map(str, pipeline.errors))
    assert "S3FileSystem would change" in said
    assert "but an object's key can have at most 1024" in said
    assert emulator.ledger()["submissions"] == []


def test_a_bucket_where_one_may_only_put(
    emulator: Any, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.user_with("s3:PutObject") as (conn_id, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        pipeline = Pipeline("put_only")
        with pipeline.tasks():
            generate(output_path=f"s3://{conn_id}@pictures/put", file_name="fox")
        assert pipeline.run() == "success", pipeline.errors
    assert store.listing() == ["put/fox.png"]
    assert len(emulator.ledger()["submissions"]) == 1


def test_a_reference_takes_the_right_to_get(
    emulator: Any, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    store.write("fox?.png", picture.getvalue())
    with store.user_with("s3:GetObject") as (conn_id, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        pipeline = Pipeline("get_only")
        with pipeline.tasks():
            generate(reference_images=f"s3://{conn_id}@pictures/fox?.png")
        assert pipeline.run() == "success", pipeline.errors
    assert emulator.ledger()["requests"]["upload"] == 1


def test_a_batch_takes_the_right_to_list_and_not_to_delete(
    emulator: Any, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_gptimg.batch.runner.FLUSH_EVERY", 0.0)
    for actions in (["s3:PutObject", "s3:GetObject"], ["s3:PutObject", "s3:GetObject", "s3:ListBucket"]):
        with store.user_with(*actions) as (conn_id, environment):
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            pipeline = Pipeline("batch_without_delete")
            with pipeline.tasks():
                GptImgBatchOperator(
                    task_id="batch",
                    items=["A fox", "A hen", "An owl"],
                    output_path=f"s3://{conn_id}@pictures/batch",
                    deferrable=False,
                    poll_interval=0.1,
                )
            state = pipeline.run()
        if "s3:ListBucket" not in actions:
            assert state == "failed"
            assert "needs the rights to list, read and write" in str(pipeline.errors[0])
            assert emulator.ledger()["submissions"] == []
            continue
        assert state == "success", pipeline.errors
        (manifest,) = (key for key in store.listing("batch/batch-") if key.endswith(".jsonl"))
        assert [json.loads(line)["status"] for line in store.read(manifest).splitlines()] == ["completed"] * 3
        assert len(emulator.ledger()["submissions"]) == 3


def test_a_listed_file_is_copied_in_one_request(store: Bucket) -> None:
    places = [Place.of(f"{FOLDER}/cache/{name}") / "fox.png" for name in ("aa", "bb")]
    for place in places:
        place.put_bytes(b"fox")
    folders = [Place.of(f"{FOLDER}/cache/{name}") for name in ("aa", "bb")]
    methods: list[str] = []
    events = places[0].fs.s3.meta.events
    events.register("before-send.s3", lambda request, **_: methods.append(request.method))

    def asked_to_copy() -> list[str]:
        methods.clear()
        for number, place in enumerate(places):
            assert place.copy_within(Place.of(f"{FOLDER}/out/{number}.png"))
        return list(methods)

    for folder in folders:
        folder.files(keeps_others=True)
    assert asked_to_copy() == ["PUT", "PUT"]
    folders[1].files()  # and no other listing stays in memory
    assert asked_to_copy() == ["HEAD", "PUT", "PUT"]
