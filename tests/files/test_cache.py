"""Images that are owned: a second run pays nothing, and whatever is wrong with the cache is a miss."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from airflow_provider_gptimg.exceptions import GptImgStorageError, GptImgValidationError
from airflow_provider_gptimg.files.cache import Cache
from airflow_provider_gptimg.files.place import Place
from tests.support.pipelines import Pipeline, generate

pytestmark = pytest.mark.usefixtures("database", "quick")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def drawn(emulator: Any, cache: Path) -> Any:
    """Return a function that runs a task in a DAG of its own and returns its result."""
    runs = iter(range(100))

    def draw(**arguments: Any) -> dict[str, Any]:
        pipeline = Pipeline(f"run_{next(runs)}")
        with pipeline.tasks():
            generate(cache_path=cache, **arguments)
        assert pipeline.run() == "success", pipeline.errors
        result: dict[str, Any] = pipeline.xcom("images")
        assert pipeline.xcom("images", key="urls") == result["urls"]
        assert pipeline.xcom("images", key="generation_id") == result["generation_id"]
        return result

    return draw


def paid(emulator: Any) -> int:
    return len(emulator.ledger()["submissions"])


def file_of(uri: str) -> Path:
    return Path(urlsplit(uri).path)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("??/*.json"))


def pictures(cache: Path) -> list[Path]:
    return sorted(cache.glob("??/*.png"))


def test_the_second_run_pays_nothing(drawn: Any, emulator: Any) -> None:
    first, second = drawn(n=2), drawn(n=2)
    assert paid(emulator) == 1
    assert (first["cached"], first["submissions"]) == (False, 1)
    assert first["cost_usd"] == pytest.approx(0.03)
    assert (second["cached"], second["submissions"], second["cost_usd"]) == (True, 0, 0.0)
    assert second["generation_id"] == first["generation_id"]
    assert second["urls"] == first["urls"]
    assert second["missing"] == 0
    for image in second["images"]:
        with Image.open(file_of(image["uri"])) as picture:
            assert picture.size == (image["width"], image["height"]) == (1024, 1024)


def test_the_service_is_not_asked_for_what_is_owned(drawn: Any, emulator: Any) -> None:
    drawn()
    before = emulator.ledger()["requests"]
    drawn()
    assert emulator.ledger()["requests"] == before


def test_images_are_stored_under_the_names_they_would_have_had(
    drawn: Any, emulator: Any, tmp_path: Path
) -> None:
    drawn(n=2)
    stored = drawn(n=2, output_path=tmp_path / "out", file_name="fox")
    assert paid(emulator) == 1
    assert [file_of(uri).name for uri in stored["urls"]] == ["fox.png", "fox-1.png"]
    for image in stored["images"]:
        assert file_of(image["uri"]).stat().st_size == image["bytes"]


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "A hen"},
        {"size": "3:2"},
        {"resolution": "2K"},
        {"n": 2},
        {"extra_body": {"style": "flat"}},
        {"reference_images": ["https://files.example/a.png"]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_decides_a_picture_makes_another_one(drawn: Any, emulator: Any, other: Any) -> None:
    drawn()
    assert not drawn(**other)["cached"]
    assert paid(emulator) == 2


def test_a_changed_reference_file_is_another_image(drawn: Any, emulator: Any, tmp_path: Path) -> None:
    file = tmp_path / "cup.png"
    Image.new("RGB", (8, 8), "red").save(file)
    drawn(reference_images=[file])
    assert drawn(reference_images=[str(file)])["cached"]
    Image.new("RGB", (8, 8), "blue").save(file)
    assert not drawn(reference_images=[file])["cached"]
    assert paid(emulator) == 2


def test_what_changed_is_said(
    drawn: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], emulator: Any
) -> None:
    where = {"output_path": tmp_path / "out", "file_name": "fox"}
    drawn(**where)
    assert "not made before" in capsys.readouterr().out
    drawn(prompt="A hen", size="3:2", **where)
    assert "changed: prompt, size" in capsys.readouterr().out


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [Path.unlink, cut])
@pytest.mark.parametrize("of", [entries, pictures])
def test_what_is_damaged_is_made_anew(drawn: Any, emulator: Any, cache: Path, harm: Any, of: Any) -> None:
    drawn(n=2)
    harm(of(cache)[-1])
    assert not drawn(n=2)["cached"]
    assert drawn(n=2)["cached"]
    assert paid(emulator) == 2


def test_a_picture_with_other_bytes_is_never_stored(
    drawn: Any, emulator: Any, cache: Path, tmp_path: Path
) -> None:
    drawn()
    (picture,) = pictures(cache)
    picture.write_bytes(b"x" * picture.stat().st_size)
    assert not drawn(output_path=tmp_path / "out", file_name="fox")["cached"]
    assert paid(emulator) == 2


def test_an_old_image_is_made_anew_and_takes_its_place(drawn: Any, emulator: Any, cache: Path) -> None:
    drawn()
    assert drawn(cache_max_age=timedelta(hours=1))["cached"]
    assert not drawn(cache_max_age=timedelta(microseconds=1))["cached"]
    assert paid(emulator) == 2
    assert len(entries(cache)) == 1


def test_the_newest_of_two_writers_counts(drawn: Any, cache: Path) -> None:
    first = drawn()
    (entry,) = entries(cache)
    key, made_at, rest = entry.name.split("-", 2)
    older = entry.with_name(f"{key}-{int(made_at) - 5}-{rest.replace(first['generation_id'], 'tsk_older')}")
    older.write_bytes(entry.read_bytes())
    assert Cache(Place.of(cache)).find([key]).entries[key].generation_id == first["generation_id"]


def test_it_names_the_task_that_made_it(drawn: Any, cache: Path) -> None:
    drawn()
    (entry,) = entries(cache)
    made_by = json.loads(entry.read_text())["made_by"]
    assert drawn()["made_by"] == made_by
    assert (made_by["dag_id"], made_by["task_id"], made_by["map_index"]) == ("run_0", "images", -1)
    (maker,) = (cache / "makers").iterdir()
    maker.write_text("{}")  # or gone: it is not needed
    assert drawn()["made_by"] is None


def test_what_is_used_stays_new(drawn: Any, cache: Path) -> None:
    drawn(n=2)
    files = [*entries(cache), *pictures(cache)]
    long_ago, lately = time.time() - 61 * 86_400, time.time() - 29 * 86_400
    for written_at, is_renewed in ((lately, False), (long_ago, True)):
        for file in files:
            os.utime(file, (written_at, written_at))
        assert drawn(n=2)["cached"]
        assert {file.stat().st_mtime > time.time() - 86_400 for file in files} == {is_renewed}


def test_a_cache_that_cannot_be_listed_is_not_taken_for_empty(emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    pipeline = Pipeline("unreadable")
    with pipeline.tasks():
        generate(cache_path=tmp_path / "file")
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, GptImgStorageError)
    assert "Nothing was submitted" in str(error)
    assert paid(emulator) == 0


def test_a_relative_path_is_refused(emulator: Any) -> None:
    pipeline = Pipeline("relative")
    with pipeline.tasks():
        generate(cache_path="cache")
    assert pipeline.run() == "failed"
    (error,) = pipeline.errors
    assert isinstance(error, GptImgValidationError)
    assert str(error).startswith("cache_path='cache' is not allowed")
    assert paid(emulator) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cache_max_age": 60}, "cache_max_age=60 is not allowed: a timedelta above 0"),
        ({"cache_path": "/cache", "wait_for_completion": False}, "needs wait_for_completion=True"),
    ],
)
def test_what_cannot_be_is_refused_when_the_dag_is_parsed(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        generate(**arguments)
