"""Makes the cards of a page from results, manifests and journals of batches, and generations under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from airflow_provider_gptimg.gallery.batch_journals import Journals, index_of
from airflow_provider_gptimg.gallery.cards import Card, Cost, State, cards_of
from airflow_provider_gptimg.gallery.ownership import own_journal, own_manifest
from airflow_provider_gptimg.gallery.stored_files import Gone, manifest_lines
from airflow_provider_gptimg.gallery.task_instances import Task

PAGE = 48
"""Cards per page: full rows of two, three, four, six and eight."""

OVER = ("failed", "upstream_failed", "skipped", "removed")
"""Airflow's states of tasks that make no more pictures."""

_journals = Journals()


class CardPage(NamedTuple):
    """The cards of some tasks, the number of items of the first task, and why cards are missing.

    :param cost: the whole cost of a batch that is over, or else the cost of the cards.
    """

    cards: list[Card]
    items: int
    progress: str | None
    problem: str | None
    cost: Cost | None = None
    is_whole_cost: bool = False


def card_page(tasks: Sequence[Task], now: datetime, *, start: int = 0, count: int = PAGE) -> CardPage:
    """Return the cards of tasks: for each task, ``count`` items from ``start``."""
    found: list[Card] = []
    said = problem = None
    try:
        items = item_count(tasks[0]) if tasks else 0
    except Gone as gone:
        items, problem = 1, str(gone)
    if start >= max(items, 1):
        return CardPage([], items, None, problem)
    for task in tasks:
        try:
            found += cards(task, now, start=start, count=count)
            said = progress(task) if len(tasks) == 1 else None
        except Gone as gone:  # the others can still be shown
            problem = problem or str(gone)
    whole = _whole_cost(tasks)
    cost = whole or Cost.sum(card.cost for card in found if card.state in (State.READY, State.EXPIRED))
    return CardPage(found, items, said, problem, cost, whole is not None)


def _whole_cost(tasks: Sequence[Task]) -> Cost | None:
    """Return the cost of a batch that is over, None for other tasks."""
    if len(tasks) != 1 or not tasks[0].manifest or not tasks[0].result:
        return None
    return Cost.read(tasks[0].result)


def item_count(task: Task) -> int:
    """Return the number of items of a batch to show, 1 for other tasks.

    :raises Gone: if its journal cannot be read, or is not its own.
    """
    if task.pictures is not None:
        return len(task.pictures)
    journal = own_journal(task)
    if journal is not None:
        return len(_journals.records(journal))
    if task.manifest is None or task.result is None:
        return 1
    counts = [task.result.get(name) for name in ("completed", "failed")]
    return sum(count for count in counts if isinstance(count, int) and count > 0)


def progress(task: Task) -> str | None:
    """Return the progress of a batch that is under way, in words; None for other tasks.

    :raises Gone: if its journal cannot be read, or is not its own.
    """
    journal = own_journal(task)
    if journal is None or task.state in OVER:
        return None
    states = [record.get("status") for record in _journals.records(journal)]
    done, failed = states.count("completed"), states.count("failed")
    parts = [f"{done:,} done", f"{len(states) - done - failed:,} under way", f"{failed:,} failed"]
    total = (task.batch or {}).get("total")
    return ", ".join(parts) + (f", of {total:,}" if isinstance(total, int) else "")


def cards(task: Task, now: datetime, *, start: int = 0, count: int = PAGE) -> list[Card]:
    """Return the cards of a task; for a batch, the cards of ``count`` items from ``start``.

    :raises Gone: if its manifest or journal cannot be read, or is not its own.
    """
    if task.pictures is not None:
        return _reviewed(task, now, start, count)
    journal, manifest = own_journal(task), own_manifest(task)
    if journal is not None:
        records = _journals.records(journal)[start : start + count]
        found = [
            card for record in records for card in cards_of(task.place, record, now, item=index_of(record))
        ]
        return _with_state(task, found)
    if manifest is not None:
        lines = _lines(manifest, start, count, task.ended)
        return [
            card
            for item, line in enumerate(lines, start)
            for card in cards_of(task.place, line, now, item=item)
        ]
    result = task.result
    # A task that runs again still has the generation's id, and nothing else, until it is done.
    if result is not None and "generation_id" in result:
        found = cards_of(task.place, result, now)
    else:
        fields = {name: str(value) for name, value in task.fields.items() if value is not None}
        found = cards_of(task.place, {**fields, "generation_id": task.generation_id}, now)
    return found if task.state == "success" else _with_state(task, found)


def card_at(task: Task, item: int, index: int, now: datetime) -> Card:
    """Return one card of a task.

    :raises Gone: if there is no such card.
    """
    journal = own_journal(task)
    if journal is not None:
        found: Sequence[Card] = [
            card
            for record in _journals.records(journal)
            if index_of(record) == item
            for card in cards_of(task.place, record, now, item=item)
        ]
    else:
        found = cards(task, now, start=item - item % PAGE)  # the same lines as on the page, which are cached
    for card in found:
        if (card.item, card.index) == (item, index):
            return card
    raise Gone("There is no such picture.")


def _reviewed(task: Task, now: datetime, start: int, count: int) -> list[Card]:
    """Return the cards of a review: each picture is an item, with its index in its generation."""
    some = (task.pictures or ())[start : start + count]
    return [
        replace(card, index=picture["index"] if isinstance(picture.get("index"), int) else 0)
        for item, picture in enumerate(some, start)
        for card in cards_of(task.place, {**picture, "images": [picture]}, now, item=item)
    ]


def _with_state(task: Task, found: list[Card]) -> list[Card]:
    """Update cards that are still coming by the state of their task."""
    if task.state in OVER:
        return [
            replace(card, state=State.FAILED, message=_why(task)) if card.state is State.COMING else card
            for card in found
        ]
    return [
        replace(card, since=card.since or task.started) if card.state is State.COMING else card
        for card in found
    ]


def _why(task: Task) -> str:
    if task.error is not None and isinstance(task.error.get("message"), str):
        return str(task.error["message"])
    if task.state == "failed":
        return "The task failed; its log has the service's reason."
    return f"The task is {str(task.state).replace('_', ' ')}."


@lru_cache(maxsize=32)
def _lines(uri: str, start: int, count: int, ended: datetime | None) -> list[Mapping[str, Any]]:
    # ``ended`` is only a part of the cache key: another attempt may have written another manifest.
    return manifest_lines(uri, start, count)
