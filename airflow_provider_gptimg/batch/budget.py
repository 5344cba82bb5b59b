"""What a batch may spend, and what it has spent so far; the journal remembers it through all attempts.

Items under way, and items that may have been paid for, count as paid. So the account never shows a higher
sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.prices import Prices, price_of
from airflow_provider_gptimg.batch.items import Item
from airflow_provider_gptimg.batch.journal import COMPLETED, Journal, State
from airflow_provider_gptimg.batch.plan import ItemPlan, Step

DIGITS = 9
"""Decimals to which sums are rounded, because 3 times 0.015 is not 0.045 in binary."""


@dataclass
class Budget:
    """The money of one batch, in US dollars.

    :param prices: the account's prices.
    :param limit: ``max_cost_usd``; None for no limit.
    """

    prices: Prices
    journal: Journal
    limit: float | None = None
    spent: float = field(init=False)

    def __post_init__(self) -> None:
        self.spent = round(sum(state.spent for state in self.journal.states.values()), DIGITS)

    def price_of(self, item: Item) -> float:
        """Return the price of an item; 0 if it is not known, which a batch with a limit does not allow."""
        fields, images = item.fields, images_of(item)
        return price_of(self.prices, fields.get("model"), fields.get("resolution"), images) or 0.0

    def needs(self, item: Item, plan: ItemPlan) -> float:
        """Return how much an item may cost beyond what already counts as spent."""
        state = self.journal.states.get(item.digest)
        is_counted = state is not None and (state.stake > 0 or state.status == COMPLETED)
        return 0.0 if is_counted and plan.step is not Step.SUBMIT else self.price_of(item)

    def allows(self, usd: float) -> bool:
        """Return whether the batch may spend this amount on top of what it has spent."""
        return self.limit is None or round(self.spent + usd, DIGITS) <= self.limit

    def stake(self, item: Item, usd: float) -> dict[str, float]:
        """Count money as spent on an item that will now be submitted; return the facts for the journal."""
        spent, stake = self._of(item)
        self.spent = round(self.spent + usd, DIGITS)
        return _facts(spent + usd, stake + usd)

    def reopen(self, item: Item) -> dict[str, float]:
        """Reopen a settled item, because its images are stored again; return the facts for the journal."""
        spent, stake = self._of(item)
        return _facts(spent, stake or min(spent, self.price_of(item)))

    def settle(self, item: Item, usd: float | None) -> dict[str, float]:
        """Count the final cost of an item's latest generation; return the facts for the journal.

        :param usd: its cost, or 0 if it was refunded or refused. None if the cost is unknown: then its price.
        """
        spent, stake = self._of(item)
        price = self.price_of(item)
        # The rest of the stake may have been paid, too.
        final = stake if usd is None else max(0.0, stake - price) + usd
        self.spent = round(self.spent + final - stake, DIGITS)
        return _facts(spent + final - stake, 0.0)

    def reached(self) -> ApiError:
        """Return the error for a batch that may not spend any more."""
        return ApiError(
            Kind.COST_LIMIT,
            f"max_cost_usd={self.limit:g} is reached: {self.spent:.3f} USD has been spent, and one more "
            "image could exceed the limit. Nothing more is submitted.",
        )

    def _of(self, item: Item) -> tuple[float, float]:
        state: State | None = self.journal.states.get(item.digest)
        return (state.spent, state.stake) if state else (0.0, 0.0)


def _facts(spent: float, stake: float) -> dict[str, float]:
    return {"spent_usd": round(spent, DIGITS), "stake_usd": round(stake, DIGITS)}


def images_of(item: Item) -> int:
    """Return how many images an item asks for, or 0 if it is refused before it is submitted."""
    try:
        return 0 if item.problem is not None else int(item.fields["n"])
    except (TypeError, ValueError):
        return 0


def check_prices(asked: Iterable[tuple[str, str]], prices: Prices) -> None:
    """Check that every model and resolution in a batch with a limit has a price.

    :param asked: models, each with a resolution.
    :raises ApiError: INVALID.
    """
    for model, resolution in sorted(asked):
        if price_of(prices, model, resolution, 1) is None:
            raise invalid(
                "max_cost_usd",
                f"{model} at {resolution}",
                'it has no price, so the limit cannot be kept; add it to "prices" in the connection\'s extra',
            )
