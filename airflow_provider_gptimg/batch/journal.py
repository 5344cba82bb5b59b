"""What a batch has done so far, kept beside its images so that a crash at any byte loses nothing.

Object storage cannot append to a file. So the journal is a folder of segments. Each is a file of JSON lines,
written whole and under a unique name. An item is noted as intended before it is submitted. After a crash only
intended items without a later record have to be looked up.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.batch.json_lines import read_records, storage_named, write_lines
from airflow_provider_gptimg.files.place import Place, remove_all
from airflow_provider_gptimg.payment.decision import FIRST_SERIES
from airflow_provider_gptimg.payment.receipt import Receipt

INTENDED, SUBMITTED, COMPLETED, FAILED = "intended", "submitted", "completed", "failed"
"""States of an item, in the order of its life."""

WITHDRAWN = "withdrawn"
"""The state of an item that was intended, and certainly not submitted."""

MANY_SEGMENTS = 50
"""From this number of segments on, opening the journal merges them: each takes one call to read."""

SEGMENT_LINES = 1_000
"""Maximum lines of a segment, because a few segments are in memory at once."""

SEGMENT = re.compile(r"([0-9]{8})-[0-9a-f]{8}\.jsonl")
"""Names of segments; they sort in the order of writing."""


@dataclass(slots=True)
class State:
    """The latest state of an item; compact, because there may be ten thousand.

    :param status: one of the states above.
    :param attempt: the try number of the task that noted it.
    :param receipt: the receipt of the payment, if a submission of it was answered.
    :param reason: the kind of its error, if it failed.
    :param series: the series of submissions that it belongs to; making an item again begins another one.
    :param spent: US dollars that the item has cost so far, or may have cost.
    :param stake: the part of ``spent`` for what is under way.
    :param cache_key: the cache key of its images, from the request that was submitted.
    """

    status: str
    attempt: int
    receipt: Receipt | None = None
    reason: str | None = None
    series: str = FIRST_SERIES
    spent: float = 0.0
    stake: float = 0.0
    cache_key: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> State:
        """Return the state in a record of a journal."""
        return cls(
            status=record["status"],
            attempt=record["attempt"],
            receipt=Receipt.read(record),
            reason=(record.get("error") or {}).get("reason"),
            series=record.get("series", FIRST_SERIES),
            spent=record.get("spent_usd", 0.0),
            stake=record.get("stake_usd", 0.0),
            cache_key=record.get("cache_key"),
        )


@dataclass(slots=True)
class Known:
    """The facts from records, read in the order of writing.

    :param states: the latest state of each item.
    :param holders: which item's images are stored under a name. A name is an ``index`` or an ``id``, as in
        ``("id", "sku-7")``.
    """

    states: dict[str, State] = field(default_factory=dict)
    holders: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn(self, record: Mapping[str, Any]) -> bool:
        """Take a record as the latest of its item; return False if it has nothing new."""
        if not is_latest(record, self.states.get(record.get("key", ""))):
            return False
        self.states[record["key"]] = State.of(record)
        for named_by, name in _names_of(record):
            self.holders[named_by, name] = record["key"]
        return True


class Journal:
    """The journal of one batch.

    :param folder: the folder of its segments, and nothing else.
    :param attempt: the try number of the task.
    """

    def __init__(self, folder: Place | ObjectStoragePath, attempt: int) -> None:
        self._known = Known()
        self.states = self._known.states
        self.attempt = attempt
        self._folder = Place.of(folder)
        self._name = uuid.uuid4().hex[:8]
        self._next = 0
        self._unwritten: list[str] = []
        self._noting = threading.Lock()
        self._writing = threading.Lock()

    def open(self) -> None:
        """Read the records of earlier attempts.

        :raises ApiError: kind STORAGE.
        """
        segments = self._segments()
        for record in read_records(segments):
            self._known.learn(record)
        self._next = 1 + max((int(path.name[:8]) for path in segments), default=0)
        if len(segments) > MANY_SEGMENTS:
            self.compact()

    def compact(self) -> None:
        """Keep only the latest record of each item, in as few segments as possible.

        A crash in between leaves records twice, which does no harm.

        :raises ApiError: kind STORAGE.
        """
        self.flush()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool, self._writing:
            segments = self._segments()
            if len(segments) < 2:
                return
            places, known = _spooled(spool, segments)
            lines = _with_names((_line_at(spool, place) for place in sorted(places.values())), known)
            while some := list(islice(lines, SEGMENT_LINES)):
                self._put_segment(some)
            with storage_named(self._folder):
                remove_all(segments)

    def note(self, digest: str, status: str, **facts: Any) -> None:
        """Note an item's new state; :meth:`flush` writes it.

        :param facts: more facts about it. Facts about its submission are kept from note to note. ``names``
            are the names that it takes, as in ``[["id", "sku-7"]]``; a completed item takes its own.
        """
        known = self.states.get(digest)
        series = facts.pop("series", known.series if known else FIRST_SERIES)
        is_same = known is not None and known.series == series
        kept = known.receipt.as_json() if is_same and known and known.receipt else {}
        if is_same and known and known.cache_key:
            kept["cache_key"] = known.cache_key
        if known is not None:
            kept = {"spent_usd": known.spent, "stake_usd": known.stake, **kept}
        record = {"key": digest, "status": status, "attempt": self.attempt, "series": series, **kept, **facts}
        line = json.dumps(record)
        with self._noting:
            self._unwritten.append(line)
        self._known.learn(record)

    def holder_of(self, named_by: str, name: str) -> str | None:
        """Return the item that took a name (an ``index`` or an ``id``) last, None if none did."""
        return self._known.holders.get((named_by, name))

    def flush(self) -> None:
        """Write the notes since the last call; several threads may call it at once.

        :raises ApiError: kind STORAGE; unwritten notes are kept for the next call.
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
        """Yield a function that returns an item's latest record, or None if there is none.

        It reads a temporary file, because all records together may take too much memory.

        :raises ApiError: kind STORAGE.
        """
        self.flush()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            places, _ = _spooled(spool, self._segments())

            def record(digest: str) -> dict[str, Any] | None:
                place = places.get(digest)
                return None if place is None else json.loads(_line_at(spool, place))

            yield record

    def _put_segment(self, lines: list[str]) -> None:
        write_lines(self._folder / f"{self._next:08}-{self._name}.jsonl", lines)
        self._next += 1

    def _segments(self) -> list[Place]:
        with storage_named(self._folder):
            return [self._folder / name for name in sorted(self._folder.files()) if SEGMENT.fullmatch(name)]


def is_latest(record: Mapping[str, Any], known: State | None) -> bool:
    """Return whether a record is newer than what earlier records say about its item.

    :param record: a record that belongs to no item is never newer.
    """
    if not {"key", "status", "attempt"} <= record.keys():
        return False
    if known is None or record["attempt"] >= known.attempt:
        return True
    # From an attempt that was thought dead. Only its completed items count, unless they are made again.
    is_of_series = record.get("series", FIRST_SERIES) == known.series
    return is_of_series and record["status"] == COMPLETED and known.status != COMPLETED


def _names_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "names" in record:
        return [(named_by, name) for named_by, name in record["names"]]
    if record["status"] != COMPLETED:
        return []
    name = (record.get("shown") or {}).get("id")
    return [("index", str(record.get("index"))), *([] if name is None else [("id", str(name))])]


def _spooled(spool: IO[str], segments: list[Place]) -> tuple[dict[str, int], Known]:
    """Write all records to a local file; return the offset of each item's latest one, and their facts."""
    places, known = dict[str, int](), Known()
    for record in read_records(segments):
        if known.learn(record):
            places[record["key"]] = spool.tell()
            spool.write(json.dumps(record) + "\n")
    return places, known


def _with_names(lines: Iterable[str], known: Known) -> Iterator[str]:
    """Return the latest records, each with all names of its item: earlier records may have taken them."""
    held: dict[str, list[tuple[str, str]]] = {}
    for name, key in known.holders.items():
        held.setdefault(key, []).append(name)
    for line in lines:
        record = json.loads(line)
        yield json.dumps({**record, "names": held.get(record["key"], [])})


def _line_at(spool: IO[str], place: int) -> str:
    spool.seek(place)
    return spool.readline().rstrip("\n")
