"""Picture files: how they begin and end, by which they are told apart whatever their name says."""

from __future__ import annotations

MAX_UPLOAD_BYTES = 10 * 1024 * 1024
"""Contract: Upload. Read as mebibytes; the service has the last word (413)."""

MIME_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
"""The formats that the service takes (contract: Upload)."""

START_BYTES = 16
"""So many first bytes tell the format."""

_ENDINGS = {"png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9", "gif": b";"}


def format_of(start: bytes) -> str | None:
    """Return the format of a file that begins so: png, jpeg, gif, webp, or None for anything else."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    return None


def is_whole(image_format: str, end: bytes) -> bool:
    """Return whether a file of this format may end so; a WebP has no mark for it."""
    return end.endswith(_ENDINGS.get(image_format, b""))
