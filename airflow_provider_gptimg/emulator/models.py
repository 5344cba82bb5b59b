"""The models the emulator knows, as rows of a table: their sizes, their extra fields, their prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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

# gpt-image-2-vip takes all 13 ratios at every tier, but the contract gives no pixels for the gaps.
# These are ours: same ratio, about the area of their tier, nothing wider than 3840. The contract does not
# say which ratios gpt-image-2.5-flare and -sunburst take; the emulator lets them have all 13 too.
_GAPS: dict[str, dict[str, Pixels]] = {
    "1K": {
        "4:3": (1024, 768),
        "3:4": (768, 1024),
        "5:4": (1280, 1024),
        "4:5": (1024, 1280),
        "16:9": (1280, 720),
        "9:16": (720, 1280),
        "2:1": (1344, 672),
        "1:2": (672, 1344),
        "21:9": (1344, 576),
        "9:21": (576, 1344),
    },
    "2K": {},
    "4K": {
        "1:1": (2880, 2880),
        "3:2": (3456, 2304),
        "2:3": (2304, 3456),
        "4:3": (3264, 2448),
        "3:4": (2448, 3264),
        "5:4": (3200, 2560),
        "4:5": (2560, 3200),
    },
}
_ALL_SIZES = {tier: {**_SIZES[tier], **_GAPS[tier]} for tier in TIERS}

RATIOS = tuple(_SIZES["2K"])
"""The 13 aspect ratios."""

_SIDE = "(25[6-9]|2[6-9][0-9]|[3-9][0-9]{2}|[12][0-9]{3}|3[0-7][0-9]{2}|38[0-3][0-9]|3840)"
PIXEL_SIZE = f"{_SIDE}x{_SIDE}"
"""A size in pixels, as a regular expression: each side from 256 to 3840. The contract gives no limits."""

PRICES = {"1K": 10_000, "2K": 20_000, "4K": 40_000}
"""Micro-dollars per image by tier. Made up: one, two and four cents."""


@dataclass(frozen=True)
class Model:
    """One model of the service.

    :param sizes: Pixels by tier and ratio; empty for a model that takes ``size`` in pixels and no
        ``resolution``.
    :param max_images: The largest ``n``, or ``None`` where the contract gives no maximum.
    :param options: Further fields this model knows, with the values they may have.
    """

    name: str
    sizes: Mapping[str, Mapping[str, Pixels]] = field(default_factory=dict)
    max_images: int | None = None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_QUALITY = {"quality": ("low", "medium", "high")}
_BACKGROUND = {"background": ("auto", "opaque", "transparent")}

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("gpt-image-2", sizes=_SIZES),
        Model("gpt-image-2-vip", sizes=_ALL_SIZES, options=_QUALITY),
        Model("gpt-image-2.5-flare", sizes=_ALL_SIZES, options=_BACKGROUND, max_images=1),
        Model("gpt-image-2.5-sunburst", sizes=_ALL_SIZES, options=_BACKGROUND, max_images=1),
        Model("gpt-image-2.5-flare-vip", options=_BACKGROUND),
        Model("gpt-image-2.5-sunburst-vip", options=_BACKGROUND),
    )
}


def tier_of(pixels: Pixels) -> str:
    """Return the tier whose price a size in pixels has, by area."""
    area = pixels[0] * pixels[1]
    if area <= 1536 * 1024:
        return "1K"
    return "2K" if area <= 2560 * 2048 else "4K"
