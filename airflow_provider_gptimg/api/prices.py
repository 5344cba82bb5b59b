"""What an image will cost: the account's prices, which are a setting, and estimates from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.api.models import DEFAULT_MODEL

CREDITS_PER_USD = 200
"""Credits of the service in one US dollar; fixed (contract: What it cost)."""

Prices = Mapping[str, Mapping[str, float]]
"""US dollars per image, by model and resolution."""

_LISTED = MappingProxyType({"1K": 0.015, "2K": 0.02, "4K": 0.025})

DEFAULT_PRICES: Prices = MappingProxyType(
    dict.fromkeys((DEFAULT_MODEL, "gpt-image-2.5-flare", "gpt-image-2.5-sunburst"), _LISTED)
)
"""The service's list prices (contract: What it cost). The other models are billed by tokens and quality."""

MOST_USD = 10_000.0
"""A higher price for one image must be a mistake."""

_ALLOWED = 'US dollars per image, by model and resolution, such as {"gpt-image-2": {"1K": 0.015, "2K": 0.02}}'


def price_of(prices: Prices, model: str | None, resolution: str | None, n: int) -> float | None:
    """Return the estimated US dollars for ``n`` images, None if the model has no price.

    :param prices: the account's prices, see :attr:`Settings.prices`.
    :param resolution: ``1K``, ``2K`` or ``4K``, in upper or lower case.
    """
    price = prices.get(model or "", {}).get((resolution or "").upper())
    # Rounded, because 3 times 0.015 is not 0.045 in binary.
    return None if price is None else round(price * n, 9)


def checked_prices(value: object) -> Prices:
    """Return the prices in a connection's extra, or the default if there are none.

    They replace the whole default: an account with other prices has its own list.

    :param value: a dict, or its JSON text as in a connection's URI.
    :raises ApiError: kind INVALID, naming the value and what is allowed.
    """
    if value in (None, ""):
        return DEFAULT_PRICES
    table: object = value
    if isinstance(value, str):
        try:
            table = json.loads(value)
        except (ValueError, RecursionError):
            raise invalid("prices", value, f"this is not JSON. Give {_ALLOWED}") from None
    if not isinstance(table, Mapping):
        raise invalid("prices", value, _ALLOWED)
    return MappingProxyType({_name(model, value): _row(model, row) for model, row in table.items()})


def _name(model: object, value: object) -> str:
    if not isinstance(model, str) or not model.strip():
        raise invalid("prices", value, _ALLOWED)
    return model.strip()


def _row(model: str, row: object) -> Mapping[str, float]:
    if not isinstance(row, Mapping):
        raise invalid("prices", {model: row}, _ALLOWED)
    return MappingProxyType({str(tier).strip().upper(): _price(model, tier, p) for tier, p in row.items()})


def _price(model: str, resolution: object, value: object) -> float:
    try:
        price = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        price = math.nan
    if not 0 <= price <= MOST_USD:
        raise invalid(
            "prices",
            {model: {resolution: value}},
            f"a price is a number of US dollars, at most {MOST_USD:,g}",
        )
    return price
