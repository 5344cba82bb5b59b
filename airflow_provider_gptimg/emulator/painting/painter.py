"""Paints a picture: a composition, the prompt on a card, and the PNG."""

from __future__ import annotations

import io
import math
import random
import warnings

from PIL import Image, ImageDraw, ImageOps

from airflow_provider_gptimg.emulator.painting import text_layout
from airflow_provider_gptimg.emulator.painting.canvas import Canvas
from airflow_provider_gptimg.emulator.painting.motifs import MOTIFS
from airflow_provider_gptimg.emulator.painting.palettes import PALETTES, Palette, mix
from airflow_provider_gptimg.emulator.painting.renderer import Picture

BUDGET = 9_000_000
"""Maximum pixels of the canvas for shapes. It is larger than a small picture, for smooth edges."""

LARGEST_INSET = 50_000_000
"""Maximum pixels of an uploaded picture that is shown."""


def paint(picture: Picture) -> bytes:
    """Return ``picture`` as PNG; equal descriptions give equal bytes on one machine."""
    # Not from the size: a prompt shows the same motif at every resolution.
    rng = random.Random(f"{picture.seed}/{picture.index}/{picture.prompt}")
    palette = rng.choice(PALETTES).shuffled(rng)
    image = _composition(picture.pixels, palette, rng)
    if picture.transparent:
        image = _cut_out(image)
    if picture.inset:
        _inset(image, picture.inset, palette)
    _card(image, picture, palette)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # fast: the file is read once
    return buffer.getvalue()


def _composition(pixels: tuple[int, int], palette: Palette, rng: random.Random) -> Image.Image:
    """Draw a motif; Pillow draws hard edges, so they are smoothed by scaling."""
    width, height = pixels
    scale = min(2.0, math.sqrt(BUDGET / (width * height)))
    image = Image.new("RGB", (round(width * scale), round(height * scale)))
    rng.choice(MOTIFS)(Canvas(image, palette, rng))
    if scale == 2:
        return image.reduce(2)
    if scale < 1.3:  # scaling down once would gain too little: down by half and up again
        image = image.reduce(2)
    return image.resize(pixels, Image.Resampling.BICUBIC)


def _cut_out(image: Image.Image) -> Image.Image:
    """Leave a rounded medallion of the picture on a transparent ground."""
    width, height = image.size
    mask = Image.new("L", image.size, 0)
    margin = min(image.size) * 0.06
    box = (margin, margin, width - margin, height - margin)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius=min(image.size) * 0.3, fill=255)
    image.putalpha(mask)
    return image


def _inset(image: Image.Image, content: bytes, palette: Palette) -> None:
    """Hang an uploaded reference picture, framed, in the upper right corner."""
    unit = min(image.size)
    try:
        small = _decoded(content, unit // 3)
    except Exception:  # noqa: BLE001 - the reader of a strange picture may raise anything
        return
    if small is None:
        return
    border = max(2, unit // 80)
    framed = ImageOps.expand(small, border, palette.light)
    at = (image.width - framed.width - unit // 16, unit // 16)
    offset = max(2, unit // 120)
    shadow = Image.new("RGB", framed.size, palette.dark)
    image.paste(shadow, (at[0] + offset, at[1] + offset), Image.new("L", framed.size, 90))
    image.paste(framed, at)


def _decoded(content: bytes, longest: int) -> Image.Image | None:
    """Return an uploaded picture at most ``longest`` pixels wide and high, None if it is very large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked here
        reference = Image.open(io.BytesIO(content))
    if reference.width * reference.height > LARGEST_INSET:
        return None
    reference.draft("RGB", (longest, longest))  # decodes a large JPEG at a smaller size
    small = ImageOps.exif_transpose(reference).convert("RGB")
    small.thumbnail((longest, longest))
    return small


def _card(image: Image.Image, picture: Picture, palette: Palette) -> None:
    """Put the prompt and the picture's parameters on a card at the bottom."""
    width, height = image.size
    unit = min(width, height)
    margin, padding, small = unit * 0.055, unit * 0.04, max(9, round(unit * 0.021))
    room = width - 2 * (margin + padding)
    largest, smallest = round(unit * 0.062), max(10, round(unit * 0.021))
    text = text_layout.fit(picture.prompt, room, height * 0.32, largest, smallest)
    size = f"{width} \N{MULTIPLICATION SIGN} {height}"
    details = f"{picture.label}  ·  {size}  ·  seed {picture.seed}  ·  #{picture.index + 1}"
    if not text.complete:
        details = f"{len(picture.prompt):,} characters  ·  {details}"
    note = text_layout.fit(details, room, small * text_layout.LINE, small, 6)
    inner = min(room, max(text.width, note.width, unit * 0.3))

    left, right, bottom = margin, margin + inner + 2 * padding, height - margin
    top = bottom - (text.height + small * 2.6 + 2 * padding)
    draw = ImageDraw.Draw(image)
    edge = mix(palette.light, palette.dark, 0.14)  # it may lie on an equally light ground
    draw.rounded_rectangle(
        (left, top, right, bottom), unit * 0.018, palette.light, edge, max(1, round(unit * 0.002))
    )
    baseline = top + padding + text.size * 0.98
    for line in text.lines:
        text_layout.write(draw, (left + padding, baseline), line, text.size, palette.dark)
        baseline += text.size * text_layout.LINE
    rule = top + padding + text.height + small * 0.75
    dash = (left + padding, rule, left + padding + unit * 0.07, rule + max(1.0, unit * 0.004))
    draw.rectangle(dash, fill=palette.accents[1])
    text_layout.write(draw, (left + padding, bottom - padding), note.lines[0], note.size, palette.dark)
