"""What a batch is to make, by which rules, and where it is noted what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.models import Pixels
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.batch.failures import LASTING, Failures
from airflow_provider_gptimg.batch.items import Item, Items
from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, WITHDRAWN, Journal, State
from airflow_provider_gptimg.batch.progress import Progress
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.payment.submission import OnDoubt

_LASTING = frozenset(kind.value for kind in LASTING)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the author of a batch decides.

    :param max_in_flight: items that are submitted and not yet stored, at most.
    :param timeout: seconds a generation may take, from its submission.
    :param may_leave: whether to give the worker back when only waiting is left.
    :param is_named_by_place: whether images are called by their item's place and not by its identity.
    """

    pace: Pace
    max_in_flight: int
    timeout: float
    on_ambiguous: OnDoubt
    may_leave: bool
    is_named_by_place: bool


@dataclass(frozen=True, kw_only=True)
class Order:
    """A batch, as one attempt of its task finds it.

    :param storage_for: returns what stores an item's images of so many pixels.
    :param cleared_at: the attempts before the latest Clear, which a retry need not respect.
    :param trusted: whether the journal knows of everything that was ever submitted: what it does not
        name is then submitted without a look-up.
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
    log: Any

    def is_over(self, item: Item, state: State) -> bool:
        """Return whether nothing more is to be done about an item in this attempt."""
        if state.status == FAILED:
            is_lasting = state.reason in _LASTING and state.attempt > self.cleared_at
            return state.attempt == self.journal.attempt or is_lasting
        # Another's image may by now have the name of one that was stored for another place.
        in_place = state.index == item.index or not self.rules.is_named_by_place
        return state.status == COMPLETED and in_place

    def is_fresh(self, state: State | None) -> bool:
        """Return whether an item surely was never submitted."""
        return self.trusted and (state is None or state.status == WITHDRAWN)
