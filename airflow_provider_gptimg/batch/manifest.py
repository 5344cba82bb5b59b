"""What a batch hands on: the manifest, with one JSON line per item in their order, and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

from airflow_provider_gptimg.batch.budget import DIGITS
from airflow_provider_gptimg.batch.items import Item, Items
from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, Journal
from airflow_provider_gptimg.batch.json_lines import strict_json, write_lines
from airflow_provider_gptimg.batch.progress import Progress
from airflow_provider_gptimg.files.place import Place

FAILURES = 20
"""Maximum number of failed items in the XCom; the manifest has them all."""


class Failure(TypedDict):
    """A failed item: its index and id, the error's kind and message, the generation's id if there is one."""

    index: int
    id: Any
    reason: str
    message: str
    generation_id: str | None


class BatchResult(TypedDict):
    """What a batch hands downstream (XCom ``return_value``): counts, and where the rest is.

    :param kept: items that were completed before the latest Clear, and were kept.
    :param cost_usd: US dollars of the images in the manifest, of all attempts; None if the cost is unknown.
    :param cost_estimated: whether part of ``cost_usd`` is an estimate, or is missing.
    :param cached: items whose images came from the cache, or from another item of the batch.
    :param saved_usd: US dollars that the cached images would have cost, as far as their prices are known.
    :param manifest: URI of a file of JSON lines, one per item, in the order of the items.
    :param failed_items: the first failed items, with their reasons.
    """

    manifest: str
    total: int
    completed: int
    failed: int
    images: int
    submissions: int
    kept: int
    cost_usd: float | None
    cost_estimated: bool
    cached: int
    saved_usd: float
    failed_items: list[Failure]


class Manifest:
    """The manifest at one place, and the counts made while it was written."""

    def __init__(self, path: Place) -> None:
        self.uri = str(path)
        self.images = self.submissions = 0
        self.cost_usd: float | None = None
        self.cost_estimated = False
        self.cached = 0
        self.saved_usd = 0.0
        self.failures: list[Failure] = []
        self._path = path

    def write(self, items: Items, journal: Journal) -> None:
        """Write the finished items as the journal knows them: the whole file, or nothing.

        :raises ApiError: kind STORAGE.
        """
        with journal.records() as record_of:
            write_lines(self._path, map(self._counted, self._lines(items, record_of)))

    def result(self, progress: Progress) -> BatchResult:
        """Return the value to hand downstream; call :meth:`write` first."""
        return BatchResult(
            manifest=self.uri,
            total=progress.total,
            completed=progress.completed,
            failed=progress.failed,
            images=self.images,
            submissions=self.submissions,
            kept=progress.kept,
            cost_usd=round(self.cost_usd, DIGITS) if self.cost_usd is not None else None,
            cost_estimated=self.cost_estimated,
            cached=self.cached,
            saved_usd=round(self.saved_usd, DIGITS),
            failed_items=self.failures,
        )

    def _lines(
        self, items: Items, record_of: Callable[[str], Mapping[str, Any] | None]
    ) -> Iterator[Mapping[str, Any]]:
        for item in items:
            record = record_of(item.digest)
            if record and record["status"] in (COMPLETED, FAILED):
                self.saved_usd += record.get("saved_usd", 0.0)
                yield _line(item, record)

    def _counted(self, line: Mapping[str, Any]) -> str:
        self.images += len(line["images"])
        self.submissions += line["submissions"]
        self.cached += line["cached"]
        if line["cost_usd"] is not None:
            self.cost_usd = (self.cost_usd or 0.0) + line["cost_usd"]
        is_unknown = line["cost_usd"] is None and bool(line["images"])
        self.cost_estimated = self.cost_estimated or line["cost_estimated"] or is_unknown
        if line["error"] and len(self.failures) < FAILURES:
            self.failures.append(
                Failure(
                    index=line["index"],
                    id=line["id"],
                    reason=line["error"]["reason"],
                    message=line["error"]["message"],
                    generation_id=line["generation_id"],
                )
            )
        return strict_json(line)


def _line(item: Item, record: Mapping[str, Any]) -> Mapping[str, Any]:
    images, taken = record.get("images") or [], record.get("taken")
    return {
        "index": item.index,
        "id": item.id,
        "status": record["status"],
        "request": item.fields,
        "row": item.row,
        "generation_id": (taken or record).get("generation_id"),
        "submissions": record.get("submissions", 0),
        "cost_usd": record.get("cost_usd"),
        "cost_estimated": record.get("cost_estimated", False),
        "cached": taken is not None,
        "made_by": (taken or {}).get("made_by"),
        "not_cached": record.get("not_cached"),
        "uris": [image["uri"] for image in images],
        "images": images,
        "created_at": record.get("created_at"),
        "completed_at": record.get("completed_at"),
        "expires_at": record.get("expires_at"),
        "error": record.get("error"),
    }
