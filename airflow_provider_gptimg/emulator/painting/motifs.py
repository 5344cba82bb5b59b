"""The compositions of pictures. Each fills a canvas of any shape, from one random generator."""

from __future__ import annotations

import math
from collections.abc import Callable

from airflow_provider_gptimg.emulator.painting.canvas import Canvas
from airflow_provider_gptimg.emulator.painting.palettes import Color, mix
from airflow_provider_gptimg.emulator.painting.tile_motif import tiles


def hills(canvas: Canvas) -> None:
    """Ridges behind ridges, a sun, and trees in front."""
    rng, palette = canvas.rng, canvas.palette
    canvas.gradient(palette.high, mix(palette.high, palette.low, 0.55), palette.low, palette.low)
    if sum(palette.high) < 330:
        _stars(canvas, 90)
    x, y = canvas.width * rng.uniform(0.2, 0.8), canvas.height * rng.uniform(0.22, 0.42)
    radius = canvas.unit * rng.uniform(0.1, 0.17)
    canvas.glow(x, y, radius, palette.light)
    canvas.disc(x, y, radius, palette.accents[0])
    layers = rng.randint(5, 7)
    middle = palette.accents[rng.randint(1, 2)]
    for layer in range(layers):
        depth = layer / (layers - 1)
        color = mix(mix(palette.low, middle, min(1.0, depth * 1.6 + 0.18)), palette.dark, depth**1.7 * 0.92)
        base = canvas.height * (0.46 + 0.42 * depth)
        line = canvas.ridge(base, canvas.height * 0.12 * (1 - 0.45 * depth), color)
        if depth > 0.6:
            _pines(canvas, line, color, canvas.unit * 0.05 * depth**2)


def _stars(canvas: Canvas, count: int) -> None:
    for _ in range(count):
        x, y = canvas.rng.random() * canvas.width, canvas.rng.random() ** 1.5 * canvas.height * 0.6
        canvas.disc(
            x,
            y,
            canvas.unit * canvas.rng.uniform(0.0008, 0.0028),
            canvas.palette.light,
            canvas.rng.randint(90, 230),
        )


def _pines(canvas: Canvas, line: list[float], color: Color, size: float) -> None:
    for _ in range(canvas.rng.randint(12, 26)):
        step = canvas.rng.randrange(len(line))
        x, y = canvas.width * step / (len(line) - 1), line[step]
        tall = size * canvas.rng.uniform(0.7, 1.7)
        for part in (0.0, 0.3, 0.6):
            top, wide = y - tall * (1.5 - part * 0.6), tall * (0.24 + part * 0.26)
            canvas.draw.polygon(
                [(x, top), (x - wide, top + tall * 0.75), (x + wide, top + tall * 0.75)], fill=color
            )
        canvas.draw.rectangle((x - tall * 0.05, y - tall * 0.2, x + tall * 0.05, y + tall * 0.2), fill=color)


def waves(canvas: Canvas) -> None:
    """Bands of water, each with a bright crest, under a low sun."""
    rng, palette = canvas.rng, canvas.palette
    canvas.gradient(palette.low, palette.light, palette.low)
    radius = canvas.unit * rng.uniform(0.17, 0.26)
    x, y = canvas.width * rng.uniform(0.25, 0.75), canvas.height * rng.uniform(0.26, 0.38)
    canvas.glow(x, y, radius, palette.accents[0])
    canvas.disc(x, y, radius, palette.accents[0])
    count = rng.randint(8, 11)
    colors = [palette.accents[1], palette.accents[2], palette.accents[3], palette.high]
    rng.shuffle(colors)
    crest = canvas.unit * 0.007
    for band in range(count):
        depth = band / (count - 1)
        place = depth * (len(colors) - 1)
        first = min(int(place), len(colors) - 2)
        color = mix(mix(colors[first], colors[first + 1], place - first), palette.dark, 0.55 * depth**2)
        base = canvas.height * (0.36 + 0.62 * depth**1.1)
        line = canvas.ridge(base, canvas.height * rng.uniform(0.05, 0.1), color, roughness=3)
        points = [(canvas.width * i / (len(line) - 1), y + crest * 2) for i, y in enumerate(line)]
        canvas.draw.line(points, fill=(*palette.light, 150), width=max(1, round(crest)), joint="curve")


def orbits(canvas: Canvas) -> None:
    """Arcs around an off-centre sun, with planets on them."""
    rng, palette = canvas.rng, canvas.palette
    deep = mix(palette.dark, palette.high, 0.18)
    canvas.gradient(deep, mix(deep, palette.accents[2], 0.35), mix(palette.dark, palette.low, 0.3))
    _stars(canvas, 140)
    x, y = canvas.width * rng.uniform(0.3, 0.7), canvas.height * rng.uniform(0.3, 0.5)
    reach = math.hypot(canvas.width, canvas.height) * 0.62
    core = canvas.unit * rng.uniform(0.09, 0.13)
    count = rng.randint(9, 13)
    for ring in range(count):
        radius = core * 1.7 + (reach - core * 1.7) * (ring / count) ** 1.15
        width = canvas.unit * rng.choice((0.003, 0.006, 0.014, 0.03))
        color, start, span = rng.choice(palette.accents), rng.uniform(0, 360), rng.uniform(90, 330)
        box = (x - radius, y - radius, x + radius, y + radius)
        canvas.draw.arc(box, 0, 360, fill=(*palette.light, 28), width=max(1, round(canvas.unit * 0.0015)))
        canvas.draw.arc(box, start, start + span, fill=(*color, 235), width=max(1, round(width)))
        angle = math.radians(start + span)
        px, py = x + radius * math.cos(angle), y + radius * math.sin(angle)
        size = canvas.unit * rng.uniform(0.012, 0.042)
        canvas.disc(px, py, size * 1.5, deep)
        canvas.disc(px, py, size, rng.choice((palette.light, *palette.accents)))
    canvas.glow(x, y, core, palette.accents[0])
    canvas.disc(x, y, core, palette.light)


def arches(canvas: Canvas) -> None:
    """Nested arches in warm layers, with leaves between them."""
    rng, palette = canvas.rng, canvas.palette
    canvas.gradient(palette.light, mix(palette.light, palette.low, 0.6))
    sun = canvas.unit * rng.uniform(0.11, 0.16)
    canvas.disc(
        canvas.width * rng.uniform(0.15, 0.85),
        canvas.height * rng.uniform(0.16, 0.26),
        sun,
        palette.accents[0],
    )
    count = max(3, round(canvas.width / canvas.unit * 3))
    order = list(range(count))
    rng.shuffle(order)
    for place in order:
        x = canvas.width * (place + 0.5 + rng.uniform(-0.2, 0.2)) / count
        outer = canvas.unit * rng.uniform(0.2, 0.36)
        foot = canvas.height * 1.05
        top = canvas.height * rng.uniform(0.3, 0.62) + outer
        colors = [*palette.accents, palette.dark, palette.light]
        rng.shuffle(colors)
        bands = rng.randint(3, 5)
        for band in range(bands):
            radius = outer * (1 - band / bands * 0.86)
            canvas.disc(x, top, radius, colors[band])
            canvas.draw.rectangle((x - radius, top, x + radius, foot), fill=colors[band])
        if rng.random() < 0.6:
            _branch(canvas, x + outer * rng.choice((-1, 1)), canvas.height * 1.01)


def _branch(canvas: Canvas, x: float, y: float) -> None:
    """Draw a stem with pairs of pointed leaves."""
    color = canvas.rng.choice((canvas.palette.dark, canvas.palette.accents[2], canvas.palette.accents[3]))
    length, lean = canvas.unit * canvas.rng.uniform(0.34, 0.52), canvas.rng.uniform(-0.3, 0.3)
    stem = [(x + lean * length * (step / 20) ** 2, y - length * step / 20) for step in range(21)]
    canvas.draw.line(stem, fill=color, width=max(1, round(canvas.unit * 0.005)), joint="curve")
    for pair in range(3, 20, 2):
        size = canvas.unit * 0.085 * (1.2 - pair / 20)
        for side in (-1, 1):
            _blade(canvas, stem[pair], math.radians(-90 + side * 48) + lean * pair / 20, size, color)
    _blade(canvas, stem[-1], math.radians(-90) + lean, canvas.unit * 0.04, color)


def _blade(canvas: Canvas, at: tuple[float, float], angle: float, length: float, color: Color) -> None:
    points = []
    for step in range(17):  # out along one edge, back along the other
        share = 1 - abs(step / 8 - 1)
        bulge = math.sin(share * math.pi) * 0.24 * (1 if step < 8 else -1)
        along, across = share * length, bulge * length
        points.append(
            (
                at[0] + along * math.cos(angle) - across * math.sin(angle),
                at[1] + along * math.sin(angle) + across * math.cos(angle),
            )
        )
    canvas.draw.polygon(points, fill=color)


def rays(canvas: Canvas) -> None:
    """Draw a rising sun that fills the sky with rays, above striped water."""
    rng, palette = canvas.rng, canvas.palette
    horizon = canvas.height * rng.uniform(0.56, 0.66)
    x, reach = canvas.width * rng.uniform(0.3, 0.7), math.hypot(canvas.width, canvas.height)
    canvas.gradient(palette.high, palette.low)
    count = rng.choice((14, 18, 22))
    tones = (mix(palette.low, palette.accents[0], 0.7), mix(palette.low, palette.accents[1], 0.62))
    for ray in range(count):
        first, second = (math.pi * (1 + step / count) for step in (ray, ray + 1))
        ends = [(x + reach * math.cos(angle), horizon + reach * math.sin(angle)) for angle in (first, second)]
        canvas.draw.polygon([(x, horizon), *ends], fill=tones[ray % 2])
    size = canvas.unit * rng.uniform(0.24, 0.32)
    for factor, color in ((1.22, palette.light), (1.0, palette.accents[1]), (0.74, palette.accents[0])):
        canvas.disc(x, horizon, size * factor, color)
    canvas.ridge(
        horizon - canvas.height * 0.02, canvas.height * 0.06, mix(palette.accents[2], palette.dark, 0.25)
    )
    canvas.draw.rectangle((0, horizon, canvas.width, canvas.height), fill=palette.dark)
    bands = 11
    for band in range(bands):
        share = (band + 1) / bands
        y = horizon + (canvas.height - horizon) * share**1.35
        half = size * (1.25 - 0.6 * share) * rng.uniform(0.7, 1.2)
        thick = canvas.unit * (0.006 + 0.016 * share)
        box = (x - half, y - thick, x + half, y)
        canvas.draw.rounded_rectangle(
            box, radius=thick / 2, fill=mix(palette.accents[0], palette.dark, share * 0.4)
        )


MOTIFS: tuple[Callable[[Canvas], None], ...] = (hills, waves, tiles, orbits, arches, rays)
