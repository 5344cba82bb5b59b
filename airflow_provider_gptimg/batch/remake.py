"""Which items of a batch are to be made anew although their images are there."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.result import TEXT_OF_A_VALUE


class Remake:
    """The items that ``remake`` names.

    :param given: ids and places (from 0) of items; one or a list. A text may name several, with commas
        between them, as ``{{ params.remake }}`` renders it.
    :raises ApiError: INVALID for anything else.
    """

    def __init__(self, given: object) -> None:
        if isinstance(given, str):
            if given.strip()[:1] in ("[", "{", "("):
                raise invalid("remake", given, TEXT_OF_A_VALUE)
            given = [part.strip() for part in given.split(",")]
        if isinstance(given, (bytes, dict)) or not isinstance(given, (Iterable, int, type(None))):
            raise invalid("remake", given, "a list of ids and indexes of items is needed")
        named = [given] if isinstance(given, int) else list(given or ())
        for name in named:
            if isinstance(name, bool) or not isinstance(name, (str, int)):
                raise invalid("remake", name, "ids and indexes of items are allowed")
        self._names = {str(name) for name in named} - {"", "None"}
        self._found: set[str] = set()

    def __contains__(self, item: Item) -> bool:
        # An id goes before a place, so that a number which is an id means that item.
        name = str(item.index) if item.id is None else str(item.id)
        if name in self._names:
            self._found.add(name)
            return True
        return False

    @property
    def unknown(self) -> list[str]:
        """Names that no item has had so far."""
        return sorted(self._names - self._found)
