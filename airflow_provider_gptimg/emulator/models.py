"""The emulator's models, as rows of a table: their sizes, prices and extra fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIERS = ("1K", "2K", "4K")

Pixels = tuple[int, int]

# The size table of gpt-image-2: 22 cells, 17 gaps (contract: Submit, from the service's own page).
_SIZES: dict[str, dict[str, Pixels]] = {
    "1K": {"1:1": (1024, 1024), "3:2": (1536, 1024), "2:3": (1024, 1536)},
    "2K": {
        "1:1": (2048, 2048),
        "3:2": (2048, 1360),
        "2:3": (1360, 2048),
        "4:3": (2048, 1536),
        "3:4": (1536, 2048),
        "5:4": (2560, 2048),
        "4:5": (2048, 2560),
        "16:9": (2048, 1152),
        "9:16": (1152, 2048),
        "2:1": (2688, 1344),
        "1:2": (1344, 2688),
        "21:9": (2688, 1152),
        "9:21": (1152, 2688),
    },
    "4K": {
        "16:9": (3840, 2160),
        "9:16": (2160, 3840),
        "2:1": (3840, 1920),
        "1:2": (1920, 3840),
        "21:9": (3840, 1648),
        "9:21": (1648, 3840),
    },
}

# The 17 gaps, as newer tables fill them (contract: Submit, "Newer tables"). An account with the full size
# table has them for gpt-image-2; gpt-image-2-vip always has them. The contract does not say which ratios
# gpt-image-2-official, gpt-image-2.5-flare and -sunburst take; the emulator lets them have all 13.
_GAPS: dict[str, dict[str, Pixels]] = {
    "1K": {
        "4:3": (1024, 768),
        "3:4": (768, 1024),
        "5:4": (1280, 1024),
        "4:5": (1024, 1280),
        "16:9": (1536, 864),
        "9:16": (864, 1536),
        "2:1": (2048, 1024),
        "1:2": (1024, 2048),
        "21:9": (2016, 864),
        "9:21": (864, 2016),
    },
    "2K": {},
    "4K": {
        "1:1": (2880, 2880),
        "3:2": (3520, 2336),
        "2:3": (2336, 3520),
        "4:3": (3312, 2480),
        "3:4": (2480, 3312),
        "5:4": (3216, 2576),
        "4:5": (2576, 3216),
    },
}
_ALL_SIZES = {tier: {**_SIZES[tier], **_GAPS[tier]} for tier in TIERS}

SIZE_TABLES = ("standard", "full")
"""What an account may be offered: the sizes on each model's own page, or all 13 ratios at every tier."""

RATIOS = tuple(_SIZES["2K"])
"""The 13 aspect ratios."""

_SIDE = "(25[6-9]|2[6-9][0-9]|[3-9][0-9]{2}|[12][0-9]{3}|3[0-7][0-9]{2}|38[0-3][0-9]|3840)"
PIXEL_SIZE = f"{_SIDE}x{_SIDE}"
"""A size in pixels, as a regular expression: each side from 256 to 3840. The contract gives no limits."""

Prices = Mapping[str, int]
"""Micro-dollars per image, by tier."""

LISTED_PRICES: Prices = {"1K": 15_000, "2K": 20_000, "4K": 25_000}
"""The service's list (contract: What it cost)."""

MADE_UP_PRICES: Prices = {"1K": 30_000, "2K": 40_000, "4K": 50_000}
"""For models that are billed by tokens and quality: twice the list, because the contract gives no price."""


@dataclass(frozen=True)
class Model:
    """One model of the service.

    :param sizes: Pixels by tier and ratio; empty for a model that takes ``size`` in pixels and no
        ``resolution``.
    :param prices: Micro-dollars per image, by tier.
    :param max_images: The largest ``n``, or ``None`` if the contract gives no maximum.
    :param max_references: The most URLs in a list of reference images, or ``None`` if the contract gives no
        maximum.
    :param options: Further fields of this model, with the allowed values.
    :param first_status: The first status of a task, as its page names it (contract: Status).
    """

    name: str
    sizes: Mapping[str, Mapping[str, Pixels]] = field(default_factory=dict)
    prices: Prices = field(default_factory=lambda: LISTED_PRICES)
    max_images: int | None = None
    max_references: int | None = None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first_status: str = "queued"

    def offered(self, size_table: str) -> Mapping[str, Mapping[str, Pixels]]:
        """Return the sizes that an account with that table (of :data:`SIZE_TABLES`) may ask for."""
        return _ALL_SIZES if self.sizes and size_table == "full" else self.sizes


_QUALITY = {"quality": ("low", "medium", "high")}
_BACKGROUND = {"background": ("auto", "opaque", "transparent")}


def _newer(name: str, **rest: Any) -> Model:
    return Model(name, options=_BACKGROUND, first_status="pending", **rest)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("gpt-image-2", sizes=_SIZES, max_references=6),
        Model("gpt-image-2-vip", sizes=_ALL_SIZES, options=_QUALITY, prices=MADE_UP_PRICES),
        Model(
            "gpt-image-2-official",
            sizes=_ALL_SIZES,
            options=_QUALITY,
            prices=MADE_UP_PRICES,
            max_references=16,
        ),
        _newer("gpt-image-2.5-flare", sizes=_ALL_SIZES, max_images=1),
        _newer("gpt-image-2.5-sunburst", sizes=_ALL_SIZES, max_images=1),
        _newer("gpt-image-2.5-flare-vip", prices=MADE_UP_PRICES),
        _newer("gpt-image-2.5-sunburst-vip", prices=MADE_UP_PRICES),
    )
}


def tier_of(pixels: Pixels) -> str:
    """Return the tier that sets the price of a size in pixels, by area."""
    area = pixels[0] * pixels[1]
    if area <= 1536 * 1024:
        return "1K"
    return "2K" if area <= 2560 * 2048 else "4K"
