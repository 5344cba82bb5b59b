"""What a batch makes, by which rules, and where the outcomes are noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.models import Pixels
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.batch.failures import LASTING, Failures
from airflow_provider_gptimg.batch.items import Item, Items
from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, WITHDRAWN, Journal
from airflow_provider_gptimg.batch.progress import Progress
from airflow_provider_gptimg.batch.remake import Remake
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.payment.decision import FIRST_SERIES
from airflow_provider_gptimg.payment.submission import OnDoubt

if TYPE_CHECKING:
    from airflow_provider_gptimg.batch.budget import Budget
    from airflow_provider_gptimg.batch.owned_items import OwnedItems
    from airflow_provider_gptimg.hooks.metrics import Metrics

_LASTING = frozenset(kind.value for kind in LASTING)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The decisions of a batch's author.

    :param max_in_flight: maximum number of items that are submitted and not yet stored.
    :param timeout: seconds a generation may take, from its submission.
    :param may_leave: whether to give the worker back when only waiting is left.
    :param named_by: ``index`` or ``id``, if nothing else of an item is in the names of its images. Then an
        item keeps its names when its request changes.
    """

    pace: Pace
    max_in_flight: int
    timeout: float
    on_ambiguous: OnDoubt
    may_leave: bool
    named_by: str | None


class Step(Enum):
    """What an attempt does about an item."""

    KEEP = "nothing: its images are stored"
    LEAVE = "nothing: it failed for good"
    SUBMIT = "submit it at once: nothing can have been paid for"
    ATTACH = "look for what was paid first; submit it only if there is nothing"


class ToMake(NamedTuple):
    """What an attempt has to make: the number of images, and their price in US dollars (0 if unknown)."""

    images: int
    usd: float


@dataclass(frozen=True, kw_only=True)
class ItemPlan:
    """What to do about an item, and in which series of submissions."""

    step: Step
    series: str = FIRST_SERIES


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """A batch, as one attempt of its task finds it.

    :param storage_for: returns the storage for an item's images, given their size in pixels.
    :param cleared_at: the number of attempts before the latest Clear.
    :param trusted: whether the journal is complete. Then items that it does not name are submitted without a
        look-up.
    :param remake: the items to make again, once in each run and after each Clear.
    :param budget: the money that may be spent.
    :param owned: what the cache has for the items; None without a cache.
    :param before_paying: called once with what is to be made; raises an error to forbid it.
    """

    items: Items
    journal: Journal
    failures: Failures
    progress: Progress
    rules: Rules
    settings: Settings
    storage_for: Callable[[Item, Pixels | None], Storage]
    cleared_at: int
    trusted: bool
    remake: Remake
    budget: Budget
    owned: OwnedItems | None
    before_paying: Callable[[ToMake], None]
    metrics: Metrics
    log: Any

    def of(self, item: Item) -> ItemPlan:
        """Return what to do about an item: the rule for who pays, in a batch."""
        state = self.journal.states.get(item.digest)
        if state is None:
            return ItemPlan(step=Step.SUBMIT if self.trusted else Step.ATTACH)
        is_of_before = state.attempt <= self.cleared_at
        if state.status == COMPLETED:
            if is_of_before and item in self.remake:
                return ItemPlan(step=Step.SUBMIT, series=str(self.cleared_at))
            if self._is_in_place(item):
                return ItemPlan(step=Step.KEEP, series=state.series)
        if state.status == FAILED:
            is_lasting = state.reason in _LASTING and not is_of_before
            if is_lasting or state.attempt == self.journal.attempt:
                return ItemPlan(step=Step.LEAVE, series=state.series)
        is_unpaid = self.trusted and state.status == WITHDRAWN
        return ItemPlan(step=Step.SUBMIT if is_unpaid else Step.ATTACH, series=state.series)

    def names_taken(self, item: Item) -> list[tuple[str, str]]:
        """Return the names that an item's images take from another item."""
        named_by = self.rules.named_by
        if named_by is None:
            return []
        name = str(getattr(item, named_by))
        is_taken = self.journal.holder_of(named_by, name) not in (None, item.digest)
        return [(named_by, name)] if is_taken else []

    def _is_in_place(self, item: Item) -> bool:
        """Return whether the files of a completed item are still its own, and under no other's name."""
        named_by = self.rules.named_by
        return named_by is None or (
            self.journal.holder_of(named_by, str(getattr(item, named_by))) == item.digest
        )
