"""Files in, files out, in a real S3 server: the same as on a disk, and what only a store does."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from PIL import Image
from pipelines import Pipeline, generate

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator
from tests.support.object_store import FOLDER, Bucket, bucket


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
    assert "this file begins b'no picture'" in str(pipeline.errors[0])
    assert emulator.ledger()["requests"]["submit"] == 0
