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
    :param generation_id: of its latest submission that was answered; so also the next three.
    :param submissions: how many times the item has surely or possibly paid.
    :param submitted_at: Unix seconds.
    :param reason: the kind of its error, where it failed.
    :param index: the item's place when it was completed.
    """

    status: str
    attempt: int
    generation_id: str | None = None
    ordinal: int = 1
    submissions: int = 0
    submitted_at: float = 0.0
    reason: str | None = None
    index: int | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> State:
        """Return what a record of a journal says."""
        return cls(
            status=record["status"],
            attempt=record["attempt"],
            generation_id=record.get("generation_id"),
            ordinal=record.get("ordinal", 1),
            submissions=record.get("submissions", 0),
            submitted_at=record.get("submitted_at", 0.0),
            reason=(record.get("error") or {}).get("reason"),
            index=record.get("index"),
        )


class Journal:
    """The journal of one batch.

    :param folder: where its segments lie; nothing else does.
    :param attempt: the try number of the task.
    """

    def __init__(self, folder: ObjectStoragePath, attempt: int) -> None:
        self.states: dict[str, State] = {}
        self.attempt = attempt
        self._folder = folder
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
                for path in segments:
                    path.unlink(missing_ok=True)

    def note(self, digest: str, status: str, **facts: Any) -> None:
        """Note an item's new state; :meth:`flush` writes it.

        :param facts: more that is known of it. What is known of its submission is kept from note to note.
        """
        known = self.states.get(digest)
        kept = {}
        if known and known.generation_id:
            names = ("generation_id", "ordinal", "submissions", "submitted_at")
            kept = {name: getattr(known, name) for name in names}
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

    def _spooled(self, spool: IO[str], segments: list[ObjectStoragePath]) -> dict[str, int]:
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

    def _segments(self) -> list[ObjectStoragePath]:
        with storage_named(self._folder):
            self._folder.fs.invalidate_cache()  # of listings, which another process may have made old
            if not self._folder.exists():
                return []
            found = [path for path in self._folder.iterdir() if SEGMENT.fullmatch(path.name)]
            return sorted(found, key=lambda path: path.name)

    def _learn(self, record: Mapping[str, Any]) -> bool:
        """Take a record for the latest of its item; return False for one that says nothing new."""
        if not is_latest(record, self.states.get(record.get("key", ""))):
            return False
        self.states[record["key"]] = State.of(record)
        return True


def is_latest(record: Mapping[str, Any], known: State | None) -> bool:
    """Return whether a record says more of its item than what is known from the records written before it.

    :param record: one that is none of an item's says nothing.
    """
    if not {"key", "status", "attempt"} <= record.keys():
        return False
    if known is None or record["attempt"] >= known.attempt:
        return True
    # By an attempt that was thought dead: only what it completed counts.
    return record["status"] == COMPLETED and known.status != COMPLETED


def _line_at(spool: IO[str], place: int) -> str:
    spool.seek(place)
    return spool.readline().rstrip("\n")
