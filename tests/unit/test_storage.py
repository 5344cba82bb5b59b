"""Stored results: fetched from the emulator over a socket, checked, and never half there."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image

from airflow_provider_gptimg.api.download import check_address
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.file_names import FileNames
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.storage import Storage


@pytest.fixture
def url(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", gptimg_emulator.airflow_connection)
    hook = GptImgHook()
    generation = hook.submit("A fox", size="3:2")
    return hook.wait(generation.id, poll_interval=0.1).urls[0]


def storage(emulator: Any, folder: Path, size: tuple[int, int] = (1536, 1024)) -> Storage:
    settings = Settings(base_url=emulator.base_url, api_key="sk-test", timeout=5)
    return Storage(
        folder=folder.as_uri(),
        names=FileNames("images-abc-{index}.{format}", True, "images", -1, "abc"),
        settings=settings,
        size=size,
    )


def test_what_is_stored_is_what_was_made(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    stored = storage(gptimg_emulator, tmp_path / "new" / "folder").store(0, url)
    content = (tmp_path / "new" / "folder" / "images-abc-0.png").read_bytes()
    assert content == urlopen(url).read()
    assert Image.open(io.BytesIO(content)).size == (1536, 1024)
    assert stored == {
        "index": 0,
        "url": url,
        "uri": (tmp_path / "new" / "folder" / "images-abc-0.png").as_uri(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "width": 1536,
        "height": 1024,
        "format": "png",
    }


def test_a_repeat_writes_the_same_name(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    first = storage(gptimg_emulator, tmp_path).store(0, url)
    assert storage(gptimg_emulator, tmp_path).store(0, url) == first
    assert [path.name for path in tmp_path.iterdir()] == ["images-abc-0.png"]


@pytest.mark.parametrize("kind", ["truncate", "malformed", "reset_before", "reset_after"])
def test_one_bad_answer_is_fetched_again(gptimg_emulator: Any, url: str, tmp_path: Path, kind: str) -> None:
    gptimg_emulator.faults([{"on": "download", "kind": kind, "times": 1}])
    assert storage(gptimg_emulator, tmp_path).store(0, url)["bytes"] > 0


@pytest.mark.parametrize("kind", ["truncate", "malformed", "reset_before"])
def test_bad_answers_leave_nothing_behind(gptimg_emulator: Any, url: str, tmp_path: Path, kind: str) -> None:
    gptimg_emulator.faults([{"on": "download", "kind": kind}])
    with pytest.raises(ApiError) as failed:
        storage(gptimg_emulator, tmp_path).store(0, url)
    assert failed.value.kind in (Kind.DOWNLOAD, Kind.UNREACHABLE)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_another_size_is_refused(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="1536x1024 pixels, 1024x1024 were asked for"):
        storage(gptimg_emulator, tmp_path, size=(1024, 1024)).store(0, url)
    assert list(tmp_path.iterdir()) == []


def test_an_expired_picture_says_so(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    gptimg_emulator.advance(25 * 3600)
    with pytest.raises(ApiError) as failed:
        storage(gptimg_emulator, tmp_path).store(0, url)
    assert failed.value.kind is Kind.EXPIRED


def test_storage_that_fails_is_named(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ApiError, match="could not be stored at") as failed:
        storage(gptimg_emulator, tmp_path / "file").store(0, url)
    assert failed.value.kind is Kind.STORAGE


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://10.0.0.1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x.png",
        "ftp://files.example/x.png",
        "file:///etc/passwd",
    ],
)
def test_no_result_is_fetched_from_a_private_place(url: str) -> None:
    with pytest.raises(ApiError) as refused:
        check_address(url, Settings(base_url="https://8.8.8.8", api_key="sk-test"))
    assert refused.value.kind is Kind.DOWNLOAD
