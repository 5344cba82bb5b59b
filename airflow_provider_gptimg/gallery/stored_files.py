"""Reads files that tasks stored: pictures that match their recorded hash, and pages of manifests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from itertools import islice
from typing import Any

from airflow_provider_gptimg.batch.json_lines import read_lines
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.gallery.cards import Card

MAX_BYTES = 64 * 1024 * 1024
"""Maximum bytes of a picture; a 4K PNG has some 20 MB."""

READS_AT_ONCE = 8
"""Maximum pictures read from storage at a time. A storage that hangs must not take the API server's threads
away."""

PATIENCE = 5.0
"""Seconds to wait for a turn."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


_reads = threading.BoundedSemaphore(READS_AT_ONCE)


class Gone(Exception):  # noqa: N818 - the page shows it as a message
    """The picture cannot be shown; the text says why."""


def read_picture(card: Card) -> bytes:
    """Return a stored picture.

    Whoever may write a task's XCom could name any file that the API server can read. So a file is sent only
    if it has the recorded hash, which means that the XCom's author knew its content already.

    :raises Gone: if it cannot be read, or is not the picture that the task stored.
    """
    if not card.is_stored or (card.bytes or 0) > MAX_BYTES:
        raise Gone("This is not a stored picture.")
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
    """Return the media type of a picture, None for other content."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in SIGNATURES.items() if content.startswith(signature)), None)


def file_name(card: Card, content: bytes) -> str:
    """Return the file name for a download of a picture: its own name if it is stored.

    :raises Gone: if the content is not a picture.
    """
    kind = media_type(content)
    if kind is None:
        raise Gone("The downloaded content is not a picture.")
    if card.uri is not None:
        return card.uri.rpartition("/")[2]
    return f"{card.generation_id}-{card.index}.{kind.rpartition('/')[2]}"


def manifest_lines(uri: str, start: int, count: int) -> list[Mapping[str, Any]]:
    """Return lines of a manifest. A line that is too long is replaced by one that says so.

    :raises Gone: if it cannot be read or is not a manifest.
    """
    try:
        lines = [
            line if line is not None else {"error": {"message": "Its line in the manifest is too long."}}
            for line in islice(read_lines(Place.of(uri), start), count)
        ]
    except Exception as error:
        raise Gone(f"The manifest cannot be read from storage ({type(error).__name__}).") from error
    if not all(isinstance(line, dict) for line in lines):
        raise Gone("The file is not a manifest.")
    return lines
