"""From what tasks left to the cards of a page: results, pages of manifests, and what is still coming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from airflow_provider_gptimg.gallery.files import Gone, manifest_lines
from airflow_provider_gptimg.gallery.pictures import Card, State, cards_of
from airflow_provider_gptimg.gallery.records import Task

PAGE = 48
"""Cards of a page: whole rows of two, three, four, six and eight."""

OVER = ("failed", "upstream_failed", "skipped", "removed")
"""Airflow's states of tasks that make no more pictures."""


def item_count(task: Task) -> int:
    """Return how many lines the manifest of a batch has, 1 for other tasks."""
    if task.manifest is None or task.result is None:
        return 1
    counts = [task.result.get(name) for name in ("completed", "failed")]
    return sum(count for count in counts if isinstance(count, int) and count > 0)


def cards(task: Task, now: datetime, *, start: int = 0, count: int = PAGE) -> list[Card]:
    """Return the cards of a task; of a batch, those of ``count`` lines of its manifest from ``start``.

    :raises Gone: if its manifest cannot be read.
    """
    if task.manifest is not None:
        return [
            card
            for item, line in enumerate(_lines(task.manifest, start, count, task.ended), start)
            for card in cards_of(task.place, line, now, item=item)
        ]
    result = task.result
    # A task that is made anew still has the generation's id, and nothing else, until it is done.
    if result is not None and "generation_id" in result:
        found = cards_of(task.place, result, now)
    else:
        fields = {name: str(value) for name, value in task.fields.items() if value is not None}
        found = cards_of(task.place, {**fields, "generation_id": task.generation_id}, now)
    if task.state == "success" or found[0].state is not State.COMING:
        return found
    if task.state in OVER:
        return [replace(card, state=State.FAILED, message=_why(task)) for card in found]
    return [replace(card, since=card.since or task.started) for card in found]


def card_at(task: Task, item: int, index: int, now: datetime) -> Card:
    """Return one card of a task.

    :raises Gone: if there is none.
    """
    start = item - item % PAGE  # the same lines as the page's, which are kept
    for card in cards(task, now, start=start):
        if (card.item, card.index) == (item, index):
            return card
    raise Gone("There is no such picture.")


def _why(task: Task) -> str:
    if task.error is not None and isinstance(task.error.get("message"), str):
        return str(task.error["message"])
    if task.state == "failed":
        return "The task failed; its log has the service's reason."
    return f"The task is {str(task.state).replace('_', ' ')}."


@lru_cache(maxsize=32)
def _lines(uri: str, start: int, count: int, ended: datetime | None) -> list[Mapping[str, Any]]:
    # ``ended`` is there for the cache: another attempt may have written another manifest.
    return manifest_lines(uri, start, count)
