"""Colours that go together."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The two ends of a background, four accents, and a dark and a light colour for text."""

    high: Color
    low: Color
    accents: tuple[Color, Color, Color, Color]
    dark: Color
    light: Color

    def shuffled(self, rng: random.Random) -> Palette:
        """Return the same colours in other roles."""
        first, second, third, fourth = rng.sample(self.accents, 4)
        return replace(self, accents=(first, second, third, fourth))


def mix(first: Color, second: Color, share: float) -> Color:
    """Return the colour ``share`` (0 to 1) of the way from ``first`` to ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _hex(text: str) -> Color:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _palette(colors: str) -> Palette:
    high, low, one, two, three, four, dark, light = map(_hex, colors.split())
    return Palette(high, low, (one, two, three, four), dark, light)


PALETTES: tuple[Palette, ...] = tuple(
    map(
        _palette,
        (
            "3b3472 f4a582 ffdca8 e4576e 7b3f78 f27059 1d1a3c fff3e2",  # dusk
            "b9e0de f8f0cb f4b942 6aa67d 2f6f62 e76f51 143a37 fdf9ec",  # meadow
            "f4ead7 e8d6b3 d1392b f0b323 1f4e8c 3c3c3c 1c1c1c faf4e6",  # dessau
            "0b3954 5fc0c8 f7e07c ff6663 bfd7ea 087e8b 06222f eef7f8",  # lagoon
            "f9dec3 e79f74 c8553d 588b8b f28f3b 8c4a4a 35201f fdf3e7",  # desert
            "e3eaee b3c6d4 e07a5f 3d5a80 81b29a f2cc8f 1f2c45 f7f9fa",  # fjord
            "3a1548 c05478 f6ae99 f2e2ba 8f4fb0 ffd166 240b2e fdf0ee",  # plum
            "eaf0dd a3c29b 3a6b4a dda15e bc6c25 606c38 1c2c1e f8faf1",  # forest
            "0a1230 2f5f9e fff2cc f5c86b 5fa8d3 ef798a 050a1c eef3fb",  # night
            "ffdce4 cbb2ee ff5d8f 5b8def ffc857 7a5cc9 33255a fff6fa",  # candy
            "fff3c9 ffc56e f25c54 2a9d8f f7b267 264653 3b1f1b fffaea",  # citrus
            "f1ebe2 d8cdbd 0f4c5c 9a031e e36414 fb8b24 17252d fbf8f3",  # ink
            "123c3a 7fb685 f6d186 ef6f6c 426a5a ddae7e 0a2221 f3f8ef",  # fern
            "2a2d43 d98880 f0e3c8 e6b89c 7f5a83 c0392b 16182a fbf4ec",  # clay
        ),
    )
)
