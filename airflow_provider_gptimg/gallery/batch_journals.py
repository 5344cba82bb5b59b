"""Reads the journals of batches that have no manifest yet, for their progress."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_gptimg.batch.journal import SEGMENT, State, is_latest
from airflow_provider_gptimg.batch.json_lines import read_records
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.gallery.stored_files import Gone

MAX_BATCHES = 4
"""Number of journals kept in memory; one with 10,000 items takes some 20 MB."""

MAX_ITEMS = 100_000
MAX_SEGMENT_BYTES = 8 * 1024 * 1024


@dataclass
class _Read:
    segments: set[str] = field(default_factory=set)
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Journals:
    """Reads each segment of a journal once, because an open page asks again every few seconds."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Read] = OrderedDict()
        self._lock = threading.Lock()

    def records(self, folder: str) -> list[Mapping[str, Any]]:
        """Return the latest records of a batch's submitted items, in the order of the items.

        :raises Gone: if the journal cannot be read.
        """
        with self._lock:
            known = self._known.setdefault(folder, _Read())
            self._known.move_to_end(folder)
            while len(self._known) > MAX_BATCHES:
                self._known.popitem(last=False)
        with known.lock:
            try:
                self._read_on(Place.of(folder), known)
            except Exception as error:
                raise Gone(f"The batch's journal cannot be read ({type(error).__name__}).") from error
            return sorted(known.records.values(), key=index_of)

    def _read_on(self, folder: Place, known: _Read) -> None:
        found = {name: file.size for name, file in folder.files().items() if SEGMENT.fullmatch(name)}
        if not found:
            return
        new = [
            folder / name
            for name in sorted(found.keys() - known.segments)
            if found[name] <= MAX_SEGMENT_BYTES
        ]
        for record in read_records(new):
            key = record.get("key")
            has_place = isinstance(record.get("shown"), dict)
            if isinstance(key, str) and has_place and len(known.records) < MAX_ITEMS:
                before = known.records.get(key)
                if is_latest(record, None if before is None else State.of(before)):
                    known.records[key] = record
        known.segments = set(found)


def index_of(record: Mapping[str, Any]) -> int:
    """Return an item's position in its batch."""
    index = record["shown"].get("index")
    return index if isinstance(index, int) else 0
