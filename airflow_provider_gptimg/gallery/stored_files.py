"""Reading what tasks stored: pictures that are what was recorded, and pages of manifests."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TextIO

from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.gallery.cards import Card

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a picture; a 4K PNG has some 20 MB."""

MAX_LINE = 200_000
"""Characters of a line of a manifest that are read: a prompt has at most 32,000."""

MAX_REST = 100_000_000
"""Characters of a longer line that are passed over; a device never ends a line."""

READS_AT_ONCE = 8
"""Pictures read from storage at a time. A storage that hangs must not take the API server's threads away."""

PATIENCE = 5.0
"""Seconds to wait for one's turn."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


_reads = threading.BoundedSemaphore(READS_AT_ONCE)


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
    if not _reads.acquire(timeout=PATIENCE):
        raise Gone("The storage is busy with other pictures.")
    try:
        with Place.of(str(card.uri)).open() as file:
            content = bytes(file.read(MAX_BYTES + 1))
    except Exception as error:
        raise Gone(f"It cannot be read from storage ({type(error).__name__}).") from error
    finally:
        _reads.release()
    if hashlib.sha256(content).hexdigest() != card.sha256 or media_type(content) is None:
        raise Gone("The file is no longer the picture that the task stored.")
    return content


def media_type(content: bytes) -> str | None:
    """Return the media type of a picture, None for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in SIGNATURES.items() if content.startswith(signature)), None)


def manifest_lines(uri: str, start: int, count: int) -> list[Mapping[str, Any]]:
    """Return lines of a manifest; in the place of one that is too long, one that says so.

    :raises Gone: if it cannot be read or is none.
    """
    try:
        with Place.of(uri).open("r", encoding="utf-8") as file:
            lines = [
                json.loads(text) if text else {"error": {"message": "Its line in the manifest is too long."}}
                for text in islice(_texts(file), start, start + count)
            ]
    except Exception as error:
        raise Gone(f"The manifest cannot be read from storage ({type(error).__name__}).") from error
    if not all(isinstance(line, dict) for line in lines):
        raise Gone("The manifest is not one.")
    return lines


def _texts(file: TextIO) -> Iterator[str | None]:
    """Yield the lines of a file, None for one that is too long."""
    while text := file.readline(MAX_LINE + 1):
        if text.endswith("\n") or len(text) <= MAX_LINE:
            yield text
        else:
            _pass_over(file)
            yield None


def _pass_over(file: TextIO) -> None:
    for _ in range(MAX_REST // MAX_LINE):
        part = file.readline(MAX_LINE)
        if not part or part.endswith("\n"):
            return
    raise ValueError("a line without an end")
