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
    :param series: the series of submissions that it is about; an item that is made again begins another.
    :param spent: US dollars that it has cost so far, or may have cost.
    :param stake: how much of that is for what is under way.
    :param cache_key: under which its images belong into the cache, by the request that was submitted.
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
        """Return what a record of a journal says."""
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
    """What records say, read in the order in which they were written.

    :param states: the latest of each item.
    :param holders: whose images lie under a name: items by their ``index`` and by their ``id``, as in
        ``("id", "sku-7")``.
    """

    states: dict[str, State] = field(default_factory=dict)
    holders: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn(self, record: Mapping[str, Any]) -> bool:
        """Take a record for the latest of its item; return False for one that says nothing new."""
        if not is_latest(record, self.states.get(record.get("key", ""))):
            return False
        self.states[record["key"]] = State.of(record)
        for named_by, name in _names_of(record):
            self.holders[named_by, name] = record["key"]
        return True


class Journal:
    """The journal of one batch.

    :param folder: where its segments lie; nothing else does.
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
        """Read what earlier attempts noted.

        :raises ApiError: kind STORAGE.
        """
        segments = self._segments()
        for record in read_records(segments):
            self._known.learn(record)
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
            places, known = _spooled(spool, segments)
            lines = _with_names((_line_at(spool, place) for place in sorted(places.values())), known)
            while some := list(islice(lines, SEGMENT_LINES)):
                self._put_segment(some)
            with storage_named(self._folder):
                remove_all(segments)

    def note(self, digest: str, status: str, **facts: Any) -> None:
        """Note an item's new state; :meth:`flush` writes it.

        :param facts: more that is known of it. What is known of its submission is kept from note to note.
            ``names`` are names that it takes, as in ``[["id", "sku-7"]]``; a completed item takes its own.
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
        """Return which item took a name last (an ``index``, or an ``id``), None if none did."""
        return self._known.holders.get((named_by, name))

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
    """Return whether a record says more of its item than what is known from the records written before it.

    :param record: one that is none of an item's says nothing.
    """
    if not {"key", "status", "attempt"} <= record.keys():
        return False
    if known is None or record["attempt"] >= known.attempt:
        return True
    # By an attempt that was thought dead: only what it completed counts, unless that is made again.
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
    """Write all records to a local file; return where the latest of each item begins, and what they say."""
    places, known = dict[str, int](), Known()
    for record in read_records(segments):
        if known.learn(record):
            places[record["key"]] = spool.tell()
            spool.write(json.dumps(record) + "\n")
    return places, known


def _with_names(lines: Iterable[str], known: Known) -> Iterator[str]:
    """Return the latest records, each with the names that it holds: earlier ones may have taken them."""
    held: dict[str, list[tuple[str, str]]] = {}
    for name, key in known.holders.items():
        held.setdefault(key, []).append(name)
    for line in lines:
        record = json.loads(line)
        yield json.dumps({**record, "names": held.get(record["key"], [])})


def _line_at(spool: IO[str], place: int) -> str:
    spool.seek(place)
    return spool.readline().rstrip("\n")
