"""Images to start from: URLs, files wherever they lie, and results of other tasks."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from PIL import Image

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.request import GenerationRequest, ReferenceFile
from airflow_provider_gptimg.api.uploads import content_of
from airflow_provider_gptimg.api.wire import submission
from airflow_provider_gptimg.files.references import references
from airflow_provider_gptimg.operators.upload import GptImgUploadOperator
from tests.support.pipelines import Pipeline, generate

URL = "https://a.example/1.png"


def picture(image_format: str = "PNG", colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(picture())
    return path


@pytest.mark.parametrize(
    "given",
    [
        URL,
        [URL],
        (URL,),
        {"urls": [URL]},
        {"url": URL, "sha256": "…"},
        [{"urls": [URL]}],
        {"urls": [URL], "expires_at": "2199-01-01T00:00:00Z"},
        iter([URL]),
        f" {URL} ",
    ],
)
def test_urls_are_taken_as_they_are_in_whatever_they_come(given: Any) -> None:
    assert references(given) == [URL]


def test_nothing_is_nothing() -> None:
    assert references(None) is None
    assert references([]) == []


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_type_is_what_the_content_says(tmp_path: Path, image_format: str) -> None:
    path = tmp_path / "misleading.txt"
    content = picture(image_format)
    path.write_bytes(content)
    (file,) = references(str(path)) or []
    assert isinstance(file, ReferenceFile)
    assert file.mime_type == f"image/{image_format.lower()}"
    assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert content_of(file) == content


def test_files_are_paths_uris_and_results(red: Path) -> None:
    given = [str(red), red, red.as_uri(), ObjectStoragePath(red.as_uri()), {"uri": red.as_uri()}, URL]
    found = references(given) or []
    assert found.pop() == URL
    assert len({file.sha256 for file in found if isinstance(file, ReferenceFile)}) == 1
    assert len(found) == 5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (7, "http(s) URLs, local paths"),
        ([None], "http(s) URLs, local paths"),
        ("", "it is empty"),
        ("None", "it is empty"),
        ("['https://a.example/1.png']", "render_template_as_native_obj"),
        ("data:image/png;base64,AAAA", "no base64 and no data URIs"),
        (f"{URL}\n{URL}", "it contains a line break: give several as a list"),
        ("/data/1.png\n/data/2.png", "no file has this name; it contains a line break"),
        ({"prompt": "x"}, "with urls, uri or url"),
        ({"generation_id": "task_img_1", "status": "queued", "urls": []}, "task_img_1 was queued"),
    ],
)
def test_what_is_no_reference_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        references(given)
    assert refused.value.kind is Kind.INVALID
    assert refused.value.field == "reference_images"
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<html>no picture</html>", "begins with b'<html>no picture'"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WebP or GIF picture is needed"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * (10 * 1024 * 1024), "more than 10485760 bytes"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_sent(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(ApiError) as refused:
        references(path)
    assert refused.value.kind is Kind.INVALID
    assert says in str(refused.value)


def test_dead_urls_of_a_result_say_when_they_died() -> None:
    result = {"generation_id": "task_img_1", "urls": [URL], "images": [{"index": 0, "url": URL}]}
    with pytest.raises(ApiError) as expired:
        references({**result, "expires_at": "2026-01-01T00:00:00Z"})
    assert expired.value.kind is Kind.EXPIRED
    assert "2026-01-01T00:00:00Z" in str(expired.value)
    assert "task_img_1" in str(expired.value)


def test_stored_images_outlive_their_urls(red: Path) -> None:
    result = {"urls": [red.as_uri()], "images": [{"uri": red.as_uri()}], "expires_at": "2026-01-01T00:00:00Z"}
    assert [file.where for file in references(result) or [] if isinstance(file, ReferenceFile)] == [
        red.as_uri()
    ]


@pytest.mark.parametrize("where", ["/nowhere/at/all.png", "file:///nowhere.png", "nothing://bucket/key.png"])
def test_a_file_that_cannot_be_read_has_a_problem(where: str) -> None:
    (file,) = references(where) or []
    assert isinstance(file, ReferenceFile)
    assert file.problem is not None
    with pytest.raises(ApiError, match="cannot be read") as unreadable:
        content_of(file)
    assert unreadable.value.kind is Kind.REFERENCE


@pytest.mark.parametrize(
    "name", ["a b.png", "what?.png", "[1].png", "a::b.png", "100%.png", "%41.png", "a\nb.png"]
)
def test_names_of_files_are_literal(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(picture())
    for given in (path, path.as_uri(), str(path), f"file://{path}"):
        (file,) = references(given) or []
        assert isinstance(file, ReferenceFile)
        assert (file.problem, content_of(file)) == (None, picture())


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    (file,) = references(tmp_path) or []
    assert isinstance(file, ReferenceFile)
    assert "it is a folder" in str(file.problem)


def test_a_file_that_changes_after_the_check_is_not_sent(red: Path) -> None:
    (file,) = references(red) or []
    assert isinstance(file, ReferenceFile)
    red.write_bytes(picture(colour="blue"))
    with pytest.raises(ApiError, match="changed while the task read it"):
        content_of(file)


def test_a_file_without_a_url_is_never_submitted(red: Path) -> None:
    request = GenerationRequest.checked("A fox", reference_images=references(red))
    with pytest.raises(TypeError, match="uploaded before"):
        submission(request, None)
    (file,) = request.files
    assert request.with_urls({file.sha256: URL}).body()["reference_images"] == [URL]


def test_each_content_is_uploaded_once(emulator: Any, red: Path, tmp_path: Path) -> None:
    same, blue = tmp_path / "same.png", tmp_path / "blue.webp"
    same.write_bytes(red.read_bytes())
    blue.write_bytes(picture("WEBP", "blue"))
    pipeline = Pipeline("several_files")
    with pipeline.tasks():
        generate(reference_images=[str(red), same.as_uri(), str(blue), URL])
    assert pipeline.run() == "success"
    ledger = emulator.ledger()
    assert ledger["requests"]["upload"] == 2
    assert len(ledger["submissions"]) == 1


def test_from_a_task_that_stored_and_one_that_uploaded(emulator: Any, red: Path, tmp_path: Path) -> None:
    pipeline = Pipeline("from_tasks", render_template_as_native_obj=True)
    with pipeline.tasks():
        first = generate(task_id="first", output_path=str(tmp_path / "stored"))
        uploaded = GptImgUploadOperator(task_id="uploaded", files=[str(red), red.as_uri()])
        generate(task_id="from_result", reference_images=first.output)
        generate(task_id="from_both", reference_images=[first.output["urls"], uploaded.output["urls"]])
        generate(
            task_id="from_template", reference_images="{{ ti.xcom_pull('uploaded', key='urls') }}"
        ).set_upstream(uploaded)
    assert pipeline.run() == "success", pipeline.errors
    uploads = pipeline.xcom("uploaded")
    assert uploads["urls"] == pipeline.xcom("uploaded", "urls") == [uploads["images"][0]["url"]] * 2
    image = uploads["images"][1]
    assert image == {
        "index": 1,
        "url": uploads["urls"][0],
        "name": "red.png",
        "source": red.as_uri(),
        "sha256": hashlib.sha256(red.read_bytes()).hexdigest(),
        "bytes": red.stat().st_size,
        "mime_type": "image/png",
    }
    # one by the upload task, the stored picture by each of the two that start from it
    assert emulator.ledger()["requests"]["upload"] == 3


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "malformed", "status"])
def test_an_unclear_answer_to_an_upload_is_tried_again(
    emulator: Any, red: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_gptimg.api.uploads.MAX_BACKOFF", 0.01)
    emulator.faults([{"on": "upload", "kind": kind, "status": 500, "times": 2}])
    pipeline = Pipeline("shaky_upload")
    with pipeline.tasks():
        generate(reference_images=str(red))
    assert pipeline.run() == "success", pipeline.errors
    assert len(emulator.ledger()["submissions"]) == 1


def test_a_refused_upload_costs_nothing(emulator: Any, red: Path) -> None:
    emulator.faults([{"on": "upload", "kind": "status", "status": 413}])
    pipeline = Pipeline("refused_upload")
    with pipeline.tasks():
        generate(reference_images=str(red))
    assert pipeline.run() == "failed"
    assert isinstance(pipeline.errors[0], exceptions.GptImgBadRequestError)
    assert emulator.ledger()["submissions"] == []


def test_a_missing_file_costs_nothing_and_may_come_later(emulator: Any) -> None:
    pipeline = Pipeline("missing_file")
    with pipeline.tasks():
        generate(reference_images="/nowhere/at/all.png")
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, exceptions.GptImgReferenceError)
    assert not isinstance(error, exceptions.GptImgFinalError)
    assert emulator.ledger()["requests"]["submit"] == 0


def test_what_an_upload_takes_is_said_without_urls() -> None:
    with pytest.raises(ApiError, match="allowed: local paths, object-storage URIs"):
        references(7, "files")


def test_uploading_a_url_is_a_mistake(emulator: Any) -> None:
    pipeline = Pipeline("upload_a_url")
    with pipeline.tasks():
        GptImgUploadOperator(task_id="uploaded", files=URL)
    assert pipeline.run() == "failed"
    assert "this is already a URL" in str(pipeline.errors[0])
