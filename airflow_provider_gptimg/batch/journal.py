"""What a batch has done so far, kept beside its images so that a crash at any byte loses nothing.

Object storage cannot append to a file. So the journal is a folder of segments, JSON lines each, and
each put there whole and under a name that nobody else uses. An item is intended before it is
submitted: after a crash only what was intended and not heard of again has to be looked up.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.batch.json_lines import read_records, storage_named, write_lines
from airflow_provider_gptimg.files.place import Place, remove_all
from airflow_provider_gptimg.payment.receipt import Receipt

INTENDED, SUBMITTED, COMPLETED, FAILED = "intended", "submitted", "completed", "failed"
"""States of an item, in the order of its life."""

WITHDRAWN = "withdrawn"
"""The state of an item that was intended, and surely not submitted."""

MANY_SEGMENTS = 50
"""From so many on they are made into few when the journal is opened: each takes a call to read."""

SEGMENT_LINES = 1_000
"""Lines of a segment at most: a few segments at once are in memory."""

SEGMENT = re.compile(r"([0-9]{8})-[0-9a-f]{8}\.jsonl")
"""Names of segments; they sort as they were written."""


@dataclass(slots=True)
class State:
    """The latest that is known of an item; compact, since there may be ten thousand.

    :param status: one of the states above.
    :param attempt: the try number of the task that noted it.
    :param receipt: what was paid for, if a submission of it was answered.
    :param reason: the kind of its error, if it failed.
    :param index: the item's place when it was completed.
    """

    status: str
    attempt: int
    receipt: Receipt | None = None
    reason: str | None = None
    index: int | None = None


def is_newer(record: Mapping[str, Any], known_status: str, known_attempt: int) -> bool:
    """Return whether a record of an item goes before what is known of it, in the order of the segments.

    An attempt that was thought dead may still write. It only counts if it completed the item: a completed
    item stays completed unless a later attempt says otherwise.
    """
    completes = record["status"] == COMPLETED and known_status != COMPLETED
    return bool(record["attempt"] >= known_attempt or completes)


class Journal:
    """The journal of one batch.

    :param folder: where its segments lie; nothing else does.
    :param attempt: the try number of the task.
    """

    def __init__(self, folder: Place | ObjectStoragePath, attempt: int) -> None:
        self.states: dict[str, State] = {}
        self.attempt = attempt
        self._folder = Place.of(folder)
        self._name = uuid.uuid4().hex[:8]
        self._next = 0
        self._unwritten: list[str] = []
        self._noting = threading.Lock()
        self._writing = threading.Lock()

    def open(self) -> None:
        """Read what earlier attempts noted.

        :raises ApiError: kind STORAGE.
        """
        segments = self._segments()
        for record in read_records(segments):
            self._learn(record)
        self._next = 1 + max((int(path.name[:8]) for path in segments), default=0)
        if len(segments) > MANY_SEGMENTS:
            self.compact()

    def compact(self) -> None:
        """Leave only the latest record of each item, in as few segments as that takes.

        A crash in between leaves records twice, which is as good as once.

        :raises ApiError: kind STORAGE.
        """
        self.flush()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool, self._writing:
            segments = self._segments()
            if len(segments) < 2:
                return
            lines = (_line_at(spool, place) for place in sorted(self._spooled(spool, segments).values()))
            while some := list(islice(lines, SEGMENT_LINES)):
                self._put_segment(some)
            with storage_named(self._folder):
                remove_all(segments)

    def note(self, digest: str, status: str, **facts: Any) -> None:
        """Note an item's new state; :meth:`flush` writes it.

        :param facts: more that is known of it. What is known of its submission is kept from note to note.
        """
        known = self.states.get(digest)
        kept = known.receipt.as_json() if known and known.receipt else {}
        record = {"key": digest, "status": status, "attempt": self.attempt, **kept, **facts}
        line = json.dumps(record)
        with self._noting:
            self._unwritten.append(line)
        self._learn(record)

    def flush(self) -> None:
        """Write what was noted since the last time; threads may call it at once.

        :raises ApiError: kind STORAGE; what was not written is kept for the next time.
        """
        with self._writing:
            with self._noting:
                lines, self._unwritten = self._unwritten, []
            if not lines:
                return
            try:
                self._put_segment(lines)
            except BaseException:
                with self._noting:
                    self._unwritten[:0] = lines
                raise

    @contextmanager
    def records(self) -> Iterator[Callable[[str], dict[str, Any] | None]]:
        """Give what returns an item's latest record, None where there is none.

        Out of a temporary file: all of them may be more than memory should hold.

        :raises ApiError: kind STORAGE.
        """
        self.flush()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            places = self._spooled(spool, self._segments())

            def record(digest: str) -> dict[str, Any] | None:
                place = places.get(digest)
                return None if place is None else json.loads(_line_at(spool, place))

            yield record

    def _spooled(self, spool: IO[str], segments: list[Place]) -> dict[str, int]:
        """Write all records to a local file, and return where the latest of each item begins."""
        places = {}
        for record in read_records(segments):
            if self._learn(record):
                places[record["key"]] = spool.tell()
                spool.write(json.dumps(record) + "\n")
        return places

    def _put_segment(self, lines: list[str]) -> None:
        write_lines(self._folder / f"{self._next:08}-{self._name}.jsonl", lines)
        self._next += 1

    def _segments(self) -> list[Place]:
        with storage_named(self._folder):
            return [self._folder / name for name in sorted(self._folder.files()) if SEGMENT.fullmatch(name)]

    def _learn(self, record: Mapping[str, Any]) -> bool:
        """Take a record for the latest of its item; return False for one that says nothing new."""
        if not {"key", "status", "attempt"} <= record.keys():
            return False
        known = self.states.get(record["key"])
        if known and not is_newer(record, known.status, known.attempt):
            return False
        self.states[record["key"]] = State(
            status=record["status"],
            attempt=record["attempt"],
            receipt=Receipt.read(record),
            reason=(record.get("error") or {}).get("reason"),
            index=record.get("index"),
        )
        return True


def _line_at(spool: IO[str], place: int) -> str:
    spool.seek(place)
    return spool.readline().rstrip("\n")
