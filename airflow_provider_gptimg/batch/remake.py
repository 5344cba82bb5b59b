"""The items of a batch to make again although their images exist."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.result import TEXT_OF_A_VALUE


class Remake:
    """The items that ``remake`` names.

    :param given: ids and places (from 0) of items; one or a list. A text may name several, separated by
        commas or as a list, as ``{{ params.remake }}`` renders it. A number is a place only if no item has a
        number as its id.
    :param items: all items of the batch.
    :raises ApiError: INVALID for anything else.
    """

    def __init__(self, given: object, items: Iterable[Item]) -> None:
        names = _names(given)
        ids, places = set(), set()
        for item in items if names else ():
            if item.id is not None:
                ids.add(str(item.id))
            places.add((item.id is not None, str(item.index)))
        are_ids_numbers = any(name.isdecimal() for name in ids)
        self._ids = names & ids
        # If ids are numbers, a number that is not an id is a mistake, and must not make the batch pay for
        # another item.
        self._places = {
            name for has_id, name in places if name in names - ids and not (has_id and are_ids_numbers)
        }
        self.unknown = sorted(names - self._ids - self._places)
        """Names that no item has."""

    def __contains__(self, item: Item) -> bool:
        is_named = item.id is not None and str(item.id) in self._ids
        return is_named or str(item.index) in self._places


def _names(given: object) -> set[str]:
    if isinstance(given, str):
        given = _parts(given)
    if isinstance(given, (bytes, dict)) or not isinstance(given, (Iterable, int, type(None))):
        raise invalid("remake", given, "a list of ids and indexes of items is needed")
    named = [given] if isinstance(given, int) else list(given or ())
    for name in named:
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            raise invalid("remake", name, "ids and indexes of items are allowed")
    return {str(name).strip() for name in named} - {"", "None"}


def _parts(text: str) -> object:
    if text.strip()[:1] not in ("[", "{", "("):
        return text.split(",")
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, (list, tuple)):
        raise invalid("remake", text, TEXT_OF_A_VALUE)
    return value
