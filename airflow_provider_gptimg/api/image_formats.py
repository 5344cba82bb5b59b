"""Picture files: their format by content, their size, and whether they are complete."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import imagesize

MAX_UPLOAD_BYTES = 10 * 1024 * 1024
"""Contract: Upload, "10 MB" read as mebibytes. The service has the last word (413)."""

MIME_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
"""The formats that the service accepts (contract: Upload)."""

START_BYTES = 16
"""The number of first bytes that tell the format."""

_CHUNK = 1024 * 1024
_MAX_EXIF = 65_536
_HEADER = 1024
"""Bytes that hold the size of a PNG, a GIF or a simple WebP."""

_START_OF_SCAN, _APP1 = 0xDA, 0xE1
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))

_ORIENTATION = 0x0112
_QUARTER_TURNS = range(5, 9)
"""Values of EXIF's orientation for which a viewer swaps width and height."""


@dataclass(frozen=True)
class Measured:
    """The size of a picture.

    :param stored: width and height in pixels, as they are stored.
    :param is_turned: whether its EXIF data makes a viewer turn it by 90 degrees.
    """

    stored: tuple[int, int]
    is_turned: bool = False

    def is_shown_as(self, size: tuple[int, int]) -> bool:
        """Return whether it has this width and height, either as stored or as shown."""
        return size == self.stored or (self.is_turned and size == self.stored[::-1])


def format_of(start: bytes) -> str | None:
    """Return the format of a file with these first bytes: png, jpeg, gif, webp, or None for others."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    return None


def is_whole(image_format: str, file: BinaryIO) -> bool:
    """Return whether a picture is complete. Bytes after its end do not matter.

    :param file: anything to read and seek in. Its position afterwards is undefined.
    """
    if image_format == "png":
        return any(kind == b"IEND" for kind, _, _ in _chunks(file, 8, ">I4s", 4))
    if image_format == "jpeg":
        return any(marker == _START_OF_SCAN for marker, _ in _segments(file)) and _has(file, b"\xff\xd9")
    if image_format == "gif":
        file.seek(0)
        return _has(file, b"\x00;")  # the end of an image's data, and the end of the file
    file.seek(4)
    (promised,) = struct.unpack("<I", file.read(4))
    return bool(file.seek(0, 2) >= 8 + promised - promised % 2)


def measured(file: BinaryIO) -> Measured | None:
    """Return the size of a picture, None if its header does not say.

    For a JPEG and an extended WebP, some versions of imagesize give the size that a viewer shows, or one
    pixel too few. So those headers are read here.

    :param file: anything to read and seek in.
    """
    file.seek(0)
    start = file.read(30)
    image_format = format_of(start)
    found: Measured | None
    try:
        if image_format == "jpeg":
            found = _measured_jpeg(file)
        elif start[12:16] == b"VP8X":
            width, height = (1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27))
            found = Measured((width, height), _is_turned(_exif(file, "webp")))
        else:
            width, height = imagesize.get(BytesIO(start + file.read(_HEADER)))
            found = Measured(
                (int(width), int(height)), image_format == "png" and _is_turned(_exif(file, "png"))
            )
    except (ValueError, struct.error, IndexError):
        return None
    return found if found is not None and min(found.stored) > 0 else None


def _measured_jpeg(file: BinaryIO) -> Measured | None:
    stored, exif = None, b""
    for marker, length in _segments(file):
        if marker in _START_OF_FRAME and stored is None:
            height, width = struct.unpack(">xHH", file.read(5))
            stored = (width, height)
        elif marker == _APP1 and not exif:
            exif = file.read(min(length, _MAX_EXIF))
            exif = exif[6:] if exif.startswith(b"Exif\0\0") else b""
    return None if stored is None else Measured(stored, _is_turned(exif))


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the marker and content length in bytes of each segment of a JPEG, up to the first scan.

    The file's position is then at the content, so the caller may read it.
    """
    file.seek(2)
    while marker := file.read(1):
        if marker != b"\xff":
            continue  # some encoders add padding in between
        while marker == b"\xff":
            marker = file.read(1)
        if not marker or marker[0] in _WITHOUT_LENGTH or marker == b"\0":
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        begin = file.tell()
        yield marker[0], length
        if marker[0] == _START_OF_SCAN:
            return
        file.seek(begin + max(0, length))


def _chunks(file: BinaryIO, begin: int, header: str, extra: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, length in bytes and start of the content of each chunk of a PNG or WebP."""
    size = struct.calcsize(header)
    file.seek(begin)
    while len(head := file.read(size)) == size:
        fields = struct.unpack(header, head)
        kind, length = fields if isinstance(fields[0], bytes) else fields[::-1]
        at = file.tell()
        yield kind, length, at
        file.seek(at + length + (extra or length % 2))


def _exif(file: BinaryIO, image_format: str) -> bytes:
    chunks = _chunks(file, 8, ">I4s", 4) if image_format == "png" else _chunks(file, 12, "<4sI", 0)
    for kind, length, at in chunks:
        if kind in (b"eXIf", b"EXIF"):
            file.seek(at)
            return file.read(min(length, _MAX_EXIF)).removeprefix(b"Exif\0\0")
    return b""


def _is_turned(exif: bytes) -> bool:
    """Return whether EXIF data makes a viewer turn the picture by 90 degrees."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return False
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    entries = exif[at + 2 :]
    for begin in range(0, len(entries) - 11, 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", entries, begin)
        if (tag, kind) == (_ORIENTATION, 3):
            return value in _QUARTER_TURNS
    return False


def _has(file: BinaryIO, mark: bytes) -> bool:
    """Return whether a mark is anywhere in the rest of a file."""
    before = b""
    while chunk := file.read(_CHUNK):
        if mark in before + chunk:
            return True
        before = chunk[1 - len(mark) :]
    return False
