"""Uploaded pictures: recognised by their first bytes, served for a day (contract: Upload)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from airflow_provider_gptimg.emulator.clock import Clock

MAX_UPLOAD = 10 * 1024 * 1024
"""Bytes (contract: Upload, "at most 10 MB")."""

MAX_STORED = 512 * 1024 * 1024
"""Maximum bytes kept in total; beyond that the oldest uploads are dropped, as if they had expired."""

KEPT = 3
"""Lifetimes after which an upload is forgotten. It is served for one. A generation that was submitted at its
end shows the upload in its own results, which live for another one."""


@dataclass(frozen=True)
class Upload:
    """A stored picture."""

    name: str
    mime_type: str
    content: bytes
    expires_at: float


class UploadError(Exception):
    """The upload is refused; the text is the answer's ``message``, ``chinese`` the same in Chinese."""

    def __init__(self, message: str, chinese: str) -> None:
        super().__init__(message)
        self.chinese = chinese


class Uploads:
    """The uploads of the account, by file name."""

    def __init__(self, clock: Clock, lifetime: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._stored: OrderedDict[str, Upload] = OrderedDict()
        self._bytes = 0
        self._forgotten: list[str] = []

    def add(self, content: bytes) -> Upload:
        """Store ``content`` under a new name, or refuse it."""
        if len(content) > MAX_UPLOAD:
            message = f"Image too large: {len(content)} bytes, at most {MAX_UPLOAD} are allowed."
            raise UploadError(message, "图片过大")
        mime_type = sniff(content)
        if mime_type is None:
            message = "Unsupported image type: JPEG, PNG, WebP and GIF are allowed."
            raise UploadError(message, "不支持的图片类型")
        name = f"file_{secrets.token_hex(12)}.{mime_type.removeprefix('image/')}"
        upload = Upload(name, mime_type, content, self._clock.now() + self._lifetime)
        self.restore(upload)
        self.sweep()
        while self._bytes > MAX_STORED:
            self._drop(next(iter(self._stored)))
        return upload

    def sweep(self) -> None:
        """Free the memory of uploads that nothing can show any more."""
        oldest = self._clock.now() - (KEPT - 1) * self._lifetime
        while self._stored:
            name, upload = next(iter(self._stored.items()))
            if upload.expires_at > oldest:
                return
            self._drop(name)

    def restore(self, upload: Upload) -> None:
        """Add an upload that was made before."""
        self._stored[upload.name] = upload
        self._bytes += len(upload.content)

    def forgotten(self) -> list[str]:
        """Return the names of the uploads forgotten since the last call."""
        names, self._forgotten = self._forgotten, []
        return names

    def _drop(self, name: str) -> None:
        self._forgotten.append(name)
        self._bytes -= len(self._stored.pop(name).content)

    def get(self, name: str) -> Upload | None:
        """Return the upload, expired or not, or ``None`` if it never existed or is forgotten."""
        return self._stored.get(name)


def sniff(content: bytes) -> str | None:
    """Return the media type of a picture from its magic bytes, whatever its name or header claims."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None
