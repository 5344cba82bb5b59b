"""Names are taken as they are written, on a disk and in whatever a URI leads to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_gptimg.files.place import Place, _rename, remove_all
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.pipelines import Pipeline, generate

NAMES = (
    "What is love?",
    "5*",
    "[1]",
    "a::b",
    "{x}",
    "#1",
    "100%",
    "%41",
    "~",
    "-rf",
    " a ",
    "日本語",
    "é" * 100,
)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("s3://b", "s3://b/n"),
        ("s3://b/a//", "s3://b/a/n"),
        ("S3://c@b/what?", "s3://c@b/what?/n"),
        ("s3://b//a#/", "s3://b//a#/n"),
        ("gs://b/a::b", "gs://b/a::b/n"),
        ("s3://b/a%20b", "s3://b/a%20b/n"),
        ("/a b/", "/a b/n"),
        ("/a%20b", "/a%20b/n"),
        ("file:///a b", "file:///a b/n"),
        ("file:///a%20b%3F", "file:///a b?/n"),
        ("file:/a%20b", "file:///a b/n"),
        ("file://localhost/a", "file:///a/n"),
        (Path("/a%20b"), "/a%20b/n"),
        (ObjectStoragePath("file:///a"), "file:///a/n"),
        (ObjectStoragePath("s3://nowhere@b/a"), "s3://nowhere@b/a/n"),
    ],
)
def test_a_place_is_what_its_path_or_uri_says(given: Any, written: str) -> None:
    assert str(Place.of(given) / "n") == written
    assert str(Place.of(Place.of(given) / "n")) == written


def test_what_exists_under_its_literal_name_is_meant_literally(tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    assert Place.of(f"file://{tmp_path}/a%20b").path == f"{tmp_path}/a%20b"


def test_a_host_in_a_file_uri_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="must be followed by an absolute path"):
        Place.of("file://data/pictures")


def test_what_is_put_is_read_listed_and_removed_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"whole")
    folder = Place.of((tmp_path / "what?[0]*").as_uri())
    assert folder.files() == {}
    for name in NAMES:
        (folder / name).put(source)
        assert (folder / name).read() == b"whole"
    assert {name: file.size for name, file in folder.files().items()} == dict.fromkeys(NAMES, 5)
    assert all(time.time() - 60 < (file.written_at or 0) <= time.time() for file in folder.files().values())
    (folder / "5*").remove()
    (folder / "5*").remove()
    assert set(folder.files()) == set(NAMES) - {"5*"}
    assert {path.name for path in (tmp_path / "what?[0]*").iterdir()} == set(NAMES) - {"5*"}


def test_a_name_of_all_the_bytes_there_are_can_be_put(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"whole")
    target = Place.of(tmp_path) / ("x" * 255)
    target.check_name()
    target.put(source)
    assert target.read() == b"whole"
    with pytest.raises(ValueError, match="has 256 bytes, but a name can have at most 255"):
        (Place.of(tmp_path) / ("x" * 256)).check_name()
    with pytest.raises(ValueError, match="surrogates"):
        (Place.of(tmp_path) / "\ud800").check_name()


class _Share(LocalFileSystem):
    """A file system that renames as some shares do: not over what is there."""

    cachable = False
    says_so = True

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if Path(path2).exists():
            if self.says_so:
                raise OSError("it is there already")
            return
        Path(path1).rename(path2)


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_store_that_renames_over_nothing(tmp_path: Path, says_so: bool, before: bytes | None) -> None:
    share, part, final = _Share(), tmp_path / ".part", tmp_path / "final"
    share.says_so = says_so
    part.write_bytes(b"new")
    if before is not None:
        final.write_bytes(before)
    _rename(share, str(part), str(final))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"final": b"new"}


def test_old_files_that_may_not_be_removed_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    remove_all([Place.of(tmp_path / "file" / "below")])
    assert "could not be removed (NotADirectoryError" in caplog.text


def test_folders_in_every_shape_people_have(emulator: Any, tmp_path: Path) -> None:
    folder = tmp_path / "my pictures"
    pipeline = Pipeline("shapes_of_folders")
    shapes: dict[str, Any] = {
        "path": folder,
        "uri": folder.as_uri(),
        "object": ObjectStoragePath(folder.as_uri()),
    }
    with pipeline.tasks():
        stored = [generate(task_id=name, output_path=kind, file_name=name) for name, kind in shapes.items()]
        stored >> generate(  # type: ignore[operator]
            task_id="again", reference_images=[folder / "path.png", (folder / "uri.png").as_uri()]
        )
        GptImgBatchOperator(task_id="batch", items=["A hen"], output_path=folder)
        GptImgBatchOperator.partial(task_id="mapped", output_path=folder).expand(items=[["A cow"], ["A cat"]])
    assert pipeline.run() == "success", pipeline.errors
    assert {f"{name}.png" for name in shapes} < {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["my pictures"]
    for name in shapes:
        (uri,) = pipeline.xcom(name)["urls"]
        assert ObjectStoragePath(uri).read_bytes() == (folder / f"{name}.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"file_name": "x" * 251}, "has 256 bytes, but a name can have at most 255"),
        ({"file_name": "日" * 84}, "has 257 bytes"),
        ({"output_path": "/data/" + "x" * 256}, "has 256 bytes"),
        ({"output_path": "/data/a\nb"}, "line break"),
        ({"output_path": "/data/a\0b"}, "control character"),
        ({"output_path": "file://data/x"}, "must be followed by an absolute path"),
        ({"output_path": Path("pictures")}, "an absolute path or a URI is needed"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_paying(
    emulator: Any, tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    pipeline = Pipeline("unstorable")
    with pipeline.tasks():
        generate(**{"output_path": str(tmp_path), **arguments})
    assert pipeline.run() == "failed"
    assert says in str(pipeline.errors[0])
    assert emulator.ledger()["submissions"] == []


def test_long_task_ids_have_files_of_their_own(emulator: Any, tmp_path: Path) -> None:
    ids = ["x" * 250, "x" * 249 + "y"]
    pipeline = Pipeline("task_ids")
    with pipeline.tasks():
        for task_id in ids:
            generate(task_id=task_id, output_path=str(tmp_path))
        GptImgBatchOperator(task_id="b" * 250, items=["A hen"], output_path=str(tmp_path / "batch"))
    assert pipeline.run() == "success", pipeline.errors
    assert len(list(tmp_path.glob("*.png"))) == len(ids)
    assert len(list((tmp_path / "batch").glob("*.jsonl"))) == 1
