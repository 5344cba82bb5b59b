"""Turns a picture's description into PNG bytes, off the event loop, and caches them for a while."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property

CACHE_BYTES = 96 * 1024 * 1024
"""Maximum bytes of encoded PNG in the cache."""

AT_ONCE = 1
"""Pictures painted at the same time: a 4K picture needs about 100 MB while it is painted."""


@dataclass(frozen=True)
class Picture:
    """Everything that determines a picture, to the byte."""

    prompt: str
    label: str
    pixels: tuple[int, int]
    seed: int = 0
    index: int = 0
    transparent: bool = False
    inset: bytes | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the description; equal descriptions give equal pictures."""
        inset = hashlib.sha256(self.inset or b"").hexdigest()
        parts = (self.prompt, self.label, self.pixels, self.seed, self.index, self.transparent, inset)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def scaled(self, longest: int) -> Picture:
        """Return the same picture with its longer side at ``longest`` pixels."""
        factor = longest / max(self.pixels)
        width, height = (max(1, round(side * factor)) for side in self.pixels)
        return replace(self, pixels=(width, height))


class Renderer:
    """Paints pictures in threads, and keeps the encoded ones up to :data:`CACHE_BYTES`."""

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self._capacity = capacity
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._painting: dict[str, asyncio.Task[bytes]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def png(self, picture: Picture) -> bytes:
        """Return the picture as PNG; several requests for the same one paint it once."""
        key = picture.fingerprint
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        painting = self._painting.get(key)
        if painting is None:
            painting = self._painting[key] = asyncio.ensure_future(self._paint(key, picture))
        return await asyncio.shield(painting)  # a client that disconnects must not stop it for the others

    async def _paint(self, key: str, picture: Picture) -> bytes:
        from airflow_provider_gptimg.emulator.painting.painter import paint

        try:
            async with self._slots:
                content = await asyncio.to_thread(paint, picture)
        finally:
            del self._painting[key]
        self._cache[key] = content
        self._bytes += len(content)
        while self._bytes > self._capacity:
            self._bytes -= len(self._cache.popitem(last=False)[1])
        return content
