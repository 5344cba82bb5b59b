"""Reading what tasks stored: pictures that are what was recorded, and pages of manifests."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from itertools import islice
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.gallery.pictures import Card

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a picture; a 4K PNG has some 20 MB."""

MAX_PIXELS = 64_000_000
"""Pixels that are decoded for a thumbnail."""

SIDE = 480
"""Longest side of a thumbnail, in pixels: twice what it has on the page, for dense screens."""

CACHE_BYTES = 64 * 1024 * 1024
"""Bytes of thumbnails that a process keeps: some 3,000."""

MAX_LINE = 200_000
"""Characters of a line of a manifest that are read: a prompt has at most 32,000."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Gone(Exception):  # noqa: N818 - what a reader of the page is told
    """The picture cannot be shown; the text says why."""


def read_picture(card: Card) -> bytes:
    """Return a stored picture.

    Whoever may write a task's XCom could name any file that the API server can read: only what has the
    recorded hash is ever sent, and so nothing that its author did not know already.

    :raises Gone: if it cannot be read, or is not what the task stored.
    """
    if not card.is_stored or (card.bytes or 0) > MAX_BYTES:
        raise Gone("Not a stored picture.")
    try:
        path: Any = ObjectStoragePath(str(card.uri))
        with path.open("rb") as file:
            content = bytes(file.read(MAX_BYTES + 1))
    except Exception as error:
        raise Gone(f"It cannot be read from storage ({type(error).__name__}).") from error
    if hashlib.sha256(content).hexdigest() != card.sha256 or media_type(content) is None:
        raise Gone("The file is no longer the picture that the task stored.")
    return content


def media_type(content: bytes) -> str | None:
    """Return the media type of a picture, None for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in SIGNATURES.items() if content.startswith(signature)), None)


class Thumbnails:
    """Makes thumbnails once and keeps the last used ones, by the hash of their picture."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(2)  # a decoded 4K picture takes 50 MB

    def get(self, key: str, read: Callable[[], bytes]) -> bytes:
        """Return a picture small, or as it is where Pillow is not installed.

        :param key: names the picture, whoever asks for it.
        :param read: returns it as it is.
        :raises Gone: as ``read`` does.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoding:
            small = _scaled(read())
        with self._lock:
            self._size += len(small) - len(self._kept.pop(key, b""))
            self._kept[key] = small
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])
        return small


def _scaled(content: bytes) -> bytes:
    try:
        from PIL import Image
    except ImportError:
        return content
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Gone("The picture is too large for a thumbnail.")
            picture.draft("RGB", (SIDE * 2, SIDE * 2))
            small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            small.thumbnail((SIDE, SIDE))
            target = BytesIO()
            small.save(target, "WEBP", quality=82, method=2)
    except Gone:
        raise
    except Exception as error:
        raise Gone("The picture cannot be decoded.") from error
    return target.getvalue()


def manifest_lines(uri: str, start: int, count: int) -> list[Mapping[str, Any]]:
    """Return lines of a manifest.

    :raises Gone: if it cannot be read or is none.
    """
    try:
        path: Any = ObjectStoragePath(uri)
        with path.open("r", encoding="utf-8") as file:
            # Bounded, because whatever is named may be read here: a device never ends a line.
            texts = iter(partial(file.readline, MAX_LINE), "")
            lines = [json.loads(text) for text in islice(texts, start, start + count)]
    except Exception as error:
        raise Gone(f"The manifest cannot be read from storage ({type(error).__name__}).") from error
    if not all(isinstance(line, dict) for line in lines):
        raise Gone("The manifest is not one.")
    return lines
