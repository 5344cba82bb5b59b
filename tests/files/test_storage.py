"""Stored results: fetched from the emulator over a socket, checked, and never half there."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import resource
import signal
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image

from airflow_provider_gptimg.api.download import Fetched, check_address, download
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.hooks.gptimg import GptImgHook


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
    assert failed.value.kind is Kind.DOWNLOAD
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_another_size_is_refused(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="1536x1024 pixels, but 1024x1024 was requested"):
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


def test_a_folder_in_the_place_of_the_file_is_an_error(
    gptimg_emulator: Any, url: str, tmp_path: Path
) -> None:
    (tmp_path / "images-abc-0.png").mkdir()
    with pytest.raises(ApiError, match="is a folder") as failed:
        storage(gptimg_emulator, tmp_path).store(0, url)
    assert failed.value.kind is Kind.STORAGE
    assert [path.name for path in tmp_path.rglob("*")] == ["images-abc-0.png"]


def test_a_full_disk_leaves_nothing_behind(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    """The kernel's own limit on the size of a file stands in for a disk that is full."""
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limited[1]))
    try:
        with pytest.raises(ApiError, match="There is no space for a temporary copy") as failed:
            storage(gptimg_emulator, tmp_path).store(0, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limited)
        signal.signal(signal.SIGXFSZ, ignored)
    assert failed.value.kind is Kind.STORAGE
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_full_keeps_what_it_had(gptimg_emulator: Any, url: str, tmp_path: Path) -> None:
    """A crash or an error in the middle of writing leaves the file of the attempt before."""
    target = tmp_path / "images-abc-0.png"
    target.write_bytes(b"of the attempt before")
    (tmp_path / ".images-abc-0.png.part").mkdir()  # nothing can be written under the temporary name
    with pytest.raises(ApiError, match="could not be stored at"):
        storage(gptimg_emulator, tmp_path).store(0, url)
    assert target.read_bytes() == b"of the attempt before"


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """Serve a file from this machine, and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/picture"
        server.shutdown()
        thread.join()


def _as(image_format: str, image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


RED, SEEN_THROUGH = Image.new("RGB", (60, 40), "red"), Image.new("RGBA", (60, 40), (255, 0, 0, 99))
PORTRAIT = Image.new("RGB", (40, 60), "red")
JPEG, PNG, GIF, WEBP = (_as(kind, RED) for kind in ("JPEG", "PNG", "GIF", "WEBP"))
THUMBNAIL = b"\xff\xe1\x00\x0eExif\0\0\xff\xd8\xff\xd9ab"  # with an end of its own
PICTURES = {
    "jpeg": JPEG,
    "progressive": _as("JPEG", RED, progressive=True),
    "filled": JPEG[:2] + b"\xff\xff" + JPEG[2:],
    "bytes after a jpeg": JPEG + b"\0" * 5000,
    "text after a jpeg": JPEG + b"made by a camera",
    "bytes after a png": PNG + b"\r\n",
    "bytes after a gif": GIF + b"\0\0",
    "bytes after a webp": WEBP + b"\0",
    "turned jpeg": _as("JPEG", RED, exif=_turned(6)),
    "jpeg that is shown so": _as("JPEG", PORTRAIT, exif=_turned(8)),
    "png that is shown so": _as("PNG", PORTRAIT, exif=_turned(5)),
    "webp that is shown so": _as("WEBP", PORTRAIT, exif=_turned(7)),
    "thumbnail": JPEG[:2] + THUMBNAIL + JPEG[2:],
    "webp": WEBP,
    "lossless": _as("WEBP", RED, lossless=True),
    "alpha": _as("WEBP", SEEN_THROUGH),
    "profile": _as("WEBP", RED, icc_profile=b"a profile of odd length"),
    "webp exif": _as("WEBP", SEEN_THROUGH, exif=_turned(1), lossless=True),
    "moving": _as("WEBP", RED, save_all=True, append_images=[PORTRAIT.resize((60, 40))]),
    "apng": _as("PNG", RED, save_all=True, append_images=[RED.rotate(9)]),
    "gif": GIF,
    "gzip": gzip.compress(PNG),
    "gzip of a jpeg": gzip.compress(JPEG),
    "deflate": zlib.compress(PNG),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_as_they_are(gptimg_emulator: Any, tmp_path: Path, name: str) -> None:
    content = PICTURES[name]
    with served(content) as url:
        stored = storage(gptimg_emulator, tmp_path, size=(60, 40)).store(0, url)
    (path,) = tmp_path.iterdir()
    expected = {b"\x1f": gzip.decompress, b"x": zlib.decompress}.get(content[:1], bytes)(content)
    assert path.read_bytes() == expected
    assert stored["sha256"] == hashlib.sha256(expected).hexdigest()
    assert Image.open(path).size == (stored["width"], stored["height"])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        JPEG[:-2],
        JPEG[:2] + THUMBNAIL + JPEG[2:-2],
        PNG[:-10],
        GIF[:-3],
        WEBP[:-10],
        _as("WEBP", SEEN_THROUGH)[:-10],
        _as("JPEG", PORTRAIT),
        _as("JPEG", PORTRAIT, exif=_turned(3)),
        _as("WEBP", SEEN_THROUGH.resize((61, 41))),
        JPEG[:20] + JPEG[-2:],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"RIFF\x04\0\0\0WEBP",
        b"xml? no",
    ],
)
def test_pictures_that_are_none_or_others(
    gptimg_emulator: Any, tmp_path: Path, content: bytes, packed: bool
) -> None:
    with served(gzip.compress(content) if packed else content) as url, pytest.raises(ApiError) as failed:
        storage(gptimg_emulator, tmp_path, size=(60, 40)).store(0, url)
    assert failed.value.kind is Kind.DOWNLOAD
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_picture_that_is_cut_short(gptimg_emulator: Any, tmp_path: Path) -> None:
    for content in (gzip.compress(PNG)[:-30], gzip.compress(PNG)[:20] + b"garbage" * 9):
        with served(content) as url, pytest.raises(ApiError) as failed:
            storage(gptimg_emulator, tmp_path, size=(60, 40)).store(0, url)
        assert failed.value.kind is Kind.DOWNLOAD


def damaged_inside(url: str) -> bytes:
    """A picture whose length, header and end are right, and whose pixels are not."""
    content = bytearray(urlopen(url).read())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    return bytes(content)


@pytest.mark.parametrize("decode", [True, False])
def test_only_decoding_finds_damage_inside(
    gptimg_emulator: Any, url: str, tmp_path: Path, decode: bool
) -> None:
    content = damaged_inside(url)
    with served(content) as damaged:
        keeper = replace(storage(gptimg_emulator, tmp_path), decode=decode)
        if not decode:
            assert keeper.store(0, damaged)["bytes"] == len(content)
            return
        with pytest.raises(ApiError, match="cannot be decoded") as failed:
            keeper.store(0, damaged)
    assert failed.value.kind is Kind.DOWNLOAD
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_constant_for_a_big_picture(
    gptimg_emulator: Any, tmp_path: Path, record_figures: Any
) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (3840, 2720), random.Random(7).randbytes(3840 * 2720 * 3)).save(
        noise, "PNG", compress_level=0
    )
    content = noise.getvalue()
    assert len(content) > 30_000_000
    keeper = storage(gptimg_emulator, tmp_path, size=(3840, 2720))
    with served(content) as url:
        keeper.store(0, url)  # what is loaded once
        tracemalloc.start()
        stored = keeper.store(0, url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert stored["sha256"] == hashlib.sha256(content).hexdigest()
    record_figures(f"storing a picture of {len(content) / 1e6:.1f} MB: {peak / 1e6:.1f} MB of memory at most")
    assert peak < 5_000_000


def test_a_drop_now_and_then_is_no_download() -> None:
    moments = iter(range(0, 10_000, 100))

    @contextmanager
    def fetch(url: str) -> Iterator[Fetched]:
        yield Fetched(200, {}, iter([b"."] * 1000))

    settings = Settings(base_url="http://127.0.0.1:1", api_key="sk-test")
    with pytest.raises(ApiError, match=r"did not arrive within 600 s\. Only 7 bytes") as late:
        download(fetch, "http://127.0.0.1:1/x.png", settings, io.BytesIO(), clock=lambda: next(moments))
    assert late.value.kind is Kind.DOWNLOAD


@pytest.mark.parametrize(
    ("variables", "extra", "is_resolved"),
    [
        ({}, {}, True),
        ({"https_proxy": "http://127.0.0.1:1"}, {}, False),
        ({"all_proxy": "http://127.0.0.1:1"}, {}, False),
        ({"http_proxy": "http://127.0.0.1:1"}, {}, True),  # of other URLs
        ({"https_proxy": "http://127.0.0.1:1", "no_proxy": "nowhere.invalid"}, {}, True),
        ({}, {"proxy": "http://127.0.0.1:1"}, False),
    ],
)
def test_what_a_proxy_fetches_it_resolves(
    variables: dict[str, str], extra: dict[str, str], is_resolved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker behind a proxy may know no names of the world outside."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings(base_url="https://8.8.8.8", api_key="sk-test", **extra)
    if is_resolved:
        with pytest.raises(ApiError, match="cannot be resolved"):
            check_address("https://nowhere.invalid/x.png", settings)
    else:
        check_address("https://nowhere.invalid/x.png", settings)
