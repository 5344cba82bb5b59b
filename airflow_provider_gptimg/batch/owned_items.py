"""Finds a batch's items in a cache, and items that wait for another one with the same request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.prices import Prices
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.batch.journal import State
from airflow_provider_gptimg.batch.plan import ItemPlan, Step
from airflow_provider_gptimg.files.cache import Cache, Entry, Found, Slot, key_of
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.payment.decision import FIRST_SERIES
from airflow_provider_gptimg.result import MadeBy, Result, asked, list_price


@dataclass
class OwnedItems:
    """What a cache has for the items of a batch. One listing answers it for all of them.

    :param is_to_be_used: False only enters images and looks for none, after a Clear that makes all again.
    :param made_by: the task instance that makes the missing images.
    """

    cache: Cache
    storage_of: Callable[[Item], Storage]
    prices: Prices
    made_by: MadeBy
    is_to_be_used: bool = True
    _looked: set[str] = field(default_factory=set)
    _found: Found = field(default_factory=Found)
    _keys: dict[str, str] = field(default_factory=dict)
    _makers: dict[str, str] = field(default_factory=dict)

    def look(self, items: Iterable[tuple[Item, ItemPlan, State | None]]) -> None:
        """Find cache entries for items that are not made yet; ``state`` is each item's state in the journal.

        :raises ApiError: kind STORAGE.
        """
        for item, plan, state in items:
            if plan.step in (Step.SUBMIT, Step.ATTACH) and (key := _key(item)):
                self._keys[item.digest] = key
                if state is not None:  # an earlier attempt made this item the maker
                    self._makers.setdefault(key, item.digest)
        if self.is_to_be_used and self._keys:
            self._looked = set(self._keys.values())
            self._found = self.cache.find(self._looked)

    def entry_of(self, item: Item, plan: ItemPlan) -> Entry | None:
        """Return the cache entry for an item, or None if there is none or the item is to be made again."""
        if plan.series != FIRST_SERIES:
            return None
        return self._found.entries.get(self._keys.get(item.digest, ""))

    def maker_of(self, item: Item, plan: ItemPlan) -> str | None:
        """Return the digest of the item that makes the same images, and that this one waits for.

        The first item that asks is the maker.
        """
        key = self._keys.get(item.digest)
        if key is None or plan.series != FIRST_SERIES or not self.is_to_be_used:
            return None
        maker = self._makers.setdefault(key, item.digest)
        return None if maker == item.digest else maker

    def end_round(self) -> None:
        """Let other items make what is still missing. Called when no item is under way."""
        self._makers.clear()

    def saved(self, result: Result) -> float:
        """Return how much a result from the cache would have cost, in US dollars; 0 if that is unknown."""
        return list_price(result, self.prices) or 0.0

    def take(self, item: Item, entry: Entry) -> Result | None:
        """Store an item's images from the cache and return its result, or None if they are unusable.

        :raises ApiError: kind STORAGE.
        """
        storage = self.storage_of(item)
        result = entry.take(asked(item.request(with_files=False), 0), storage.place, storage.names)
        if result is None:
            self._found.entries.pop(entry.key, None)
            self._found.unusable[entry.key] = "one of its pictures is damaged"
        return result

    def slot(self, key: str, generation_id: str) -> Slot:
        """Return where to enter a generation's images. The one listing tells which entry it replaces."""
        older = self._found.places.get(key, []) if key in self._looked else None
        return self.cache.slot(key, generation_id, older)

    def enter(self, entry: Entry | None) -> None:
        """Add an entry that was just made, for the items that wait for it."""
        if entry is not None:
            self._found.entries[entry.key] = entry

    def why_not(self, item: Item, request: GenerationRequest) -> str | None:
        """Return why an item is made although there is a cache, or None if it was never made before."""
        storage = self.storage_of(item)
        return self.cache.why_not(self._found, request, storage.place, storage.names)


def _key(item: Item) -> str | None:
    try:
        return None if item.problem is not None else key_of(item.request())
    except ApiError:  # the item fails with it later, when its turn comes
        return None
