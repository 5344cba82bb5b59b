"""The service's models as rows of a table, and the sizes that each of them offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_gptimg.api.errors import invalid

DEFAULT_MODEL = "gpt-image-2"
RESOLUTIONS = ("1K", "2K", "4K")

Pixels = tuple[int, int]
"""Width and height in pixels."""

SIZES: Mapping[str, Mapping[str, Pixels]] = {
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
"""Pixels by resolution and aspect ratio: the 22 supported cells (contract: Submit, from the seed)."""

RATIOS = tuple(SIZES["2K"])
"""All 13 aspect ratios. 2K is the resolution that offers all of them."""

_PIXEL_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")


@dataclass(frozen=True)
class Model:
    """One row of the service's models: what a request for the model may contain.

    :param ratios: aspect ratios by resolution; None if the service takes ``size`` in pixels and no
        ``resolution``; empty if nothing is known about it.
    :param max_n: most images per request, None if the service names no maximum.
    :param choices: allowed values of the model's extra fields.
    """

    name: str
    ratios: Mapping[str, tuple[str, ...]] | None
    max_n: int | None = None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def takes_resolution(self) -> bool:
        """Whether a request for this model carries ``resolution``."""
        return self.ratios is not None

    def check(self, *, n: int, extra: Mapping[str, Any]) -> None:
        """Refuse a number of images, or a value of an extra field, that this model does not offer.

        :raises ApiError: kind INVALID, naming field, value and what is allowed.
        """
        if self.max_n is not None and n > self.max_n:
            raise invalid("n", n, f"{self.name} makes at most {self.max_n} image(s) per request")
        for name, allowed in self.choices.items():
            if name in extra and extra[name] not in allowed:
                raise invalid(name, extra[name], f"{self.name} takes {', '.join(allowed)}")

    def check_size(self, size: str, resolution: str) -> None:
        """Refuse a size or a resolution that this model does not offer.

        :raises ApiError: kind INVALID, naming field, value and what is allowed.
        """
        if self.ratios is None:
            if not _PIXEL_SIZE.fullmatch(size):
                raise invalid("size", size, f"{self.name} takes a size in pixels, such as 1536x1024")
            if resolution != RESOLUTIONS[0]:
                raise invalid(
                    "resolution", resolution, f"{self.name} has no resolution, its size is in pixels"
                )
            return
        if not self.ratios:
            return
        if resolution not in self.ratios:
            raise invalid("resolution", resolution, f"{self.name} takes {', '.join(self.ratios)}")
        if size in self.ratios[resolution]:
            return
        here = f"at resolution {resolution}, {self.name} takes {', '.join(self.ratios[resolution])}"
        elsewhere = [tier for tier, ratios in self.ratios.items() if size in ratios]
        offered = (
            f"size {size} is offered at resolution {', '.join(elsewhere)}"
            if elsewhere
            else (f"no resolution offers size {size}")
        )
        raise invalid("size", size, f"{here}; {offered}")


_EVERY_RATIO = dict.fromkeys(RESOLUTIONS, RATIOS)
_QUALITY = {"quality": ("low", "medium", "high")}

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(DEFAULT_MODEL, {tier: tuple(ratios) for tier, ratios in SIZES.items()}),
        Model("gpt-image-2-vip", _EVERY_RATIO, choices=_QUALITY),
        Model("gpt-image-2.5-flare", {}, max_n=1),
        Model("gpt-image-2.5-sunburst", {}, max_n=1),
        Model("gpt-image-2.5-flare-vip", None),
        Model("gpt-image-2.5-sunburst-vip", None),
    )
}
"""The models the contract describes (contract: Submit, sister models)."""


def model_named(name: str) -> Model:
    """Return the model's row. The row of an unknown model refuses nothing."""
    return MODELS.get(name) or Model(name, {})


def pixels(model: str, size: str, resolution: str) -> Pixels | None:
    """Return the width and height in pixels that the service promises, None if it promises none.

    The table is for one model. For others, the pixels of a ratio are not known (contract: Submit). A size
    that passes only because ``check_sizes`` is off promises nothing.
    """
    if model == DEFAULT_MODEL:
        return SIZES.get(resolution.upper(), {}).get(size)
    found = None if model_named(model).ratios else _PIXEL_SIZE.fullmatch(size)
    return (int(found[1]), int(found[2])) if found else None
