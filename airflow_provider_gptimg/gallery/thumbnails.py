"""Thumbnails: each is made once, and the most recently used ones are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # Python's own only from 3.11 on
from io import BytesIO

from airflow_provider_gptimg.gallery.stored_files import PATIENCE, Gone

MAX_PIXELS = 64_000_000
"""Maximum pixels that are decoded for a thumbnail."""

SIDE = 480
"""Longest side of a thumbnail in pixels: twice its size on the page, for dense screens."""

CACHE_BYTES = 64 * 1024 * 1024
"""Bytes of thumbnails that a process keeps, which is some 3,000 thumbnails."""


class Thumbnails:
    """Makes thumbnails once and keeps the most recently used ones, by the hash of their picture.

    :param patience: seconds to wait for a turn, or for another thread that makes the same one.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES, patience: float = PATIENCE) -> None:
        self._most, self._patience = most_bytes, patience
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making: dict[str, Future[bytes]] = {}
        self._size = 0
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(2)  # a decoded 4K picture takes 50 MB

    def get(self, key: str, read: Callable[[], bytes]) -> bytes:
        """Return a picture's thumbnail, or the picture itself if Pillow is not installed.

        :param key: identifies the picture, the same for every viewer.
        :param read: returns the picture itself.
        :raises Gone: as ``read`` does, or if the wait for others takes too long.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            theirs = self._making.get(key)
            ours: Future[bytes] = Future()
            if theirs is None:
                self._making[key] = ours
        if theirs is not None:
            try:
                return theirs.result(self._patience)
            except NotYet:
                raise Gone("The picture is still being read for another request.") from None
        try:
            small = self._made(read)
        except BaseException as error:
            ours.set_exception(error)
            raise
        else:
            self._keep(key, small)
            ours.set_result(small)
            return small
        finally:
            with self._lock:
                del self._making[key]

    def _made(self, read: Callable[[], bytes]) -> bytes:
        content = read()  # before taking a slot: a storage that hangs holds up nobody else's thumbnail
        if not self._decoding.acquire(timeout=self._patience):
            raise Gone("Too many thumbnails are being made.")
        try:
            return _scaled(content)
        finally:
            self._decoding.release()

    def _keep(self, key: str, small: bytes) -> None:
        with self._lock:
            self._size += len(small) - len(self._kept.pop(key, b""))
            self._kept[key] = small
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])


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
