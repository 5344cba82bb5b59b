"""Prices: the service's list, an account's own in every form, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.prices import DEFAULT_PRICES, checked_prices, price_of
from airflow_provider_gptimg.api.settings import Settings


@pytest.mark.parametrize(
    ("model", "resolution", "n", "usd"),
    [
        ("gpt-image-2", "1K", 1, 0.015),
        ("gpt-image-2", "2K", 1, 0.02),
        ("gpt-image-2", "4K", 1, 0.025),
        ("gpt-image-2", "4k", 4, 0.1),
        ("gpt-image-2", "1K", 3, 0.045),
        ("gpt-image-2.5-flare", "1K", 1, 0.015),
        ("gpt-image-2.5-sunburst", "4K", 1, 0.025),
        ("gpt-image-2", "8K", 1, None),
        ("gpt-image-2-vip", "1K", 1, None),
        ("gpt-image-2.5-flare-vip", "1K", 1, None),
        ("tomorrow", "1K", 1, None),
        (None, None, 1, None),
    ],
)
def test_the_list_prices(model: str | None, resolution: str | None, n: int, usd: float | None) -> None:
    assert price_of(DEFAULT_PRICES, model, resolution, n) == usd


OWN = {"gpt-image-2": {"1k": "0.03", " 2K ": 1}, "gpt-image-2-vip": {"1K": 0}}


@pytest.mark.parametrize("given", [OWN, json.dumps(OWN)], ids=["dict", "text"])
def test_an_account_s_own_prices_take_the_place_of_the_list(given: object) -> None:
    prices = checked_prices(given)
    assert price_of(prices, "gpt-image-2", "1K", 2) == 0.06
    assert price_of(prices, "gpt-image-2", "2K", 1) == 1.0
    assert price_of(prices, "gpt-image-2-vip", "1K", 5) == 0.0
    assert price_of(prices, "gpt-image-2", "4K", 1) is None
    assert price_of(prices, "gpt-image-2.5-flare", "1K", 1) is None


@pytest.mark.parametrize("unset", [None, ""])
def test_nothing_given_means_the_list(unset: object) -> None:
    assert checked_prices(unset) is DEFAULT_PRICES
    assert checked_prices({}) == {}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("cheap", "prices='cheap' is not allowed: this is not JSON"),
        ("0.015", "US dollars per image, by model and resolution"),
        (0.015, "prices=0.015 is not allowed"),
        ([], "prices=[] is not allowed"),
        ({"gpt-image-2": 0.015}, "prices={'gpt-image-2': 0.015} is not allowed"),
        ({"gpt-image-2": None}, "is not allowed"),
        ({"": {"1K": 1}}, "is not allowed"),
        ({"gpt-image-2": {"1K": "cheap"}}, "prices={'gpt-image-2': {'1K': 'cheap'}} is not allowed: a price"),
        ({"gpt-image-2": {"1K": True}}, "a number of US dollars, at most 10,000"),
        ({"gpt-image-2": {"1K": None}}, "a number of US dollars"),
        ({"gpt-image-2": {"1K": -0.1}}, "a number of US dollars"),
        ({"gpt-image-2": {"1K": float("nan")}}, "a number of US dollars"),
        ({"gpt-image-2": {"1K": 1e9}}, "a number of US dollars"),
        ('{"gpt-image-2": {"1K": NaN}}', "a number of US dollars"),
    ],
    ids=str,
)
def test_what_is_no_price_is_refused(given: Any, names: str) -> None:
    with pytest.raises(ApiError) as caught:
        Settings.checked(host=None, api_key="sk-x", extra={"prices": given})
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, "prices")
    assert names in str(caught.value)


def test_settings_with_equal_prices_are_equal_and_have_a_hash() -> None:
    one, other = (Settings.checked(host=None, api_key="sk-x", extra={"prices": dict(OWN)}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Settings.checked(host=None, api_key="sk-x", extra={})
