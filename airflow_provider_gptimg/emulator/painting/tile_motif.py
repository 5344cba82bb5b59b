"""One of the compositions: a wall of geometric tiles."""

from __future__ import annotations

import math

from airflow_provider_gptimg.emulator.painting.canvas import Canvas
from airflow_provider_gptimg.emulator.painting.palettes import Color


def tiles(canvas: Canvas) -> None:
    """Lay a wall of geometric tiles."""
    rng, palette = canvas.rng, canvas.palette
    canvas.gradient(palette.high, palette.high)
    side = canvas.unit / rng.choice((3, 4, 4, 5))
    columns, rows = math.ceil(canvas.width / side), math.ceil(canvas.height / side)
    left, top = (canvas.width - columns * side) / 2, (canvas.height - rows * side) / 2
    colors = [*palette.accents, palette.dark, palette.light, palette.low]
    for column in range(columns):
        for row in range(rows):
            ground, figure = rng.sample(colors, 2)
            box = (left + column * side, top + row * side)
            canvas.draw.rectangle((*box, box[0] + side, box[1] + side), fill=ground)
            rng.choice(_TILES)(canvas, box, side, figure, ground)


def _quarter(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, ground: Color) -> None:
    turn = canvas.rng.randrange(4)
    cx, cy = at[0] + side * (turn in (1, 2)), at[1] + side * (turn in (2, 3))
    for factor, color in ((1.0, figure), (0.66, ground), (0.33, figure))[: canvas.rng.choice((1, 3))]:
        r = side * factor
        canvas.draw.pieslice((cx - r, cy - r, cx + r, cy + r), turn * 90, turn * 90 + 90, fill=color)


def _ring(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, ground: Color) -> None:
    cx, cy = at[0] + side / 2, at[1] + side / 2
    canvas.disc(cx, cy, side * 0.4, figure)
    if canvas.rng.random() < 0.6:
        canvas.disc(cx, cy, side * 0.2, canvas.rng.choice((ground, *canvas.palette.accents)))


def _half(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, _ground: Color) -> None:
    turn = canvas.rng.randrange(2) * 180
    x, y = at
    for offset in (0.0, 0.5):
        middle = y + side * offset + (side / 2 if turn else 0)
        canvas.draw.pieslice(
            (x, middle - side / 2, x + side, middle + side / 2), turn, turn + 180, fill=figure
        )


def _triangle(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, _ground: Color) -> None:
    x, y = at
    corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    del corners[canvas.rng.randrange(4)]
    canvas.draw.polygon(corners, fill=figure)


def _stripes(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, _ground: Color) -> None:
    count, upright = canvas.rng.choice((3, 4, 5)), canvas.rng.random() < 0.5
    for stripe in range(count):
        start, end = side * stripe / count, side * (stripe + 0.5) / count
        box = (at[0] + start, at[1], at[0] + end, at[1] + side)
        flat = (at[0], at[1] + start, at[0] + side, at[1] + end)
        canvas.draw.rectangle(box if upright else flat, fill=figure)


def _leaf(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, _ground: Color) -> None:
    x, y = at
    mirrored = canvas.rng.random() < 0.5
    points = []
    for step in range(41):
        angle = math.pi / 2 * step / 20
        px, py = (
            (math.sin(angle), 1 - math.cos(angle)) if step <= 20 else (1 + math.cos(angle), math.sin(angle))
        )
        points.append((x + side * (1 - px if mirrored else px), y + side * py))
    canvas.draw.polygon(points, fill=figure)


def _dots(canvas: Canvas, at: tuple[float, float], side: float, figure: Color, _ground: Color) -> None:
    count = canvas.rng.choice((2, 3, 4))
    for i in range(count):
        for j in range(count):
            x, y = at[0] + side * (i + 0.5) / count, at[1] + side * (j + 0.5) / count
            canvas.disc(x, y, side * 0.28 / count, figure)


_TILES = (_quarter, _quarter, _ring, _half, _triangle, _stripes, _leaf, _leaf, _dots)
