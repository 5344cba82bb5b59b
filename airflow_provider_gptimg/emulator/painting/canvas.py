"""The canvas for pictures, with the shapes that every motif uses."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from airflow_provider_gptimg.emulator.painting.palettes import Color, Palette


@dataclass
class Canvas:
    """The image to paint on, and its colours; distances are in pixels of the canvas."""

    image: Image.Image
    palette: Palette
    rng: random.Random

    def __post_init__(self) -> None:
        self.width, self.height = self.image.size
        self.unit = min(self.image.size)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def gradient(self, *colors: Color) -> None:
        """Fill with ``colors`` from top to bottom."""
        strip = Image.new("RGB", (1, len(colors)))
        strip.putdata(colors)
        column = strip.resize((1, self.height), Image.Resampling.BICUBIC)
        self.image.paste(column.resize(self.image.size, Image.Resampling.NEAREST))

    def disc(self, x: float, y: float, radius: float, color: Color, alpha: int = 255) -> None:
        """Draw a filled circle."""
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*color, alpha))

    def glow(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw soft rings of light around a disc."""
        for factor in (2.6, 2.1, 1.65, 1.3):
            self.disc(x, y, radius * factor, color, 26)

    def ridge(self, base: float, height: float, color: Color, roughness: int = 5) -> list[float]:
        """Fill everything below a wavy line around ``base`` and return the line's heights."""
        waves = [
            (height / (order + 1) ** 0.9, (order + 1) * self.rng.uniform(0.7, 1.3), self.rng.uniform(0, 6.3))
            for order in range(roughness)
        ]
        stretch = math.tau * max(0.6, self.width / self.height) / 2
        steps = 240
        line = [
            base + sum(a * math.sin(f * stretch * step / steps + p) for a, f, p in waves) / 2
            for step in range(steps + 1)
        ]
        points = [(self.width * step / steps, y) for step, y in enumerate(line)]
        self.draw.polygon([(0, self.height), *points, (self.width, self.height)], fill=color)
        return line
