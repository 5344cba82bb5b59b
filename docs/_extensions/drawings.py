"""Draws the pictures that are made from text, and writes them: ``python docs/_extensions/drawings.py``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1]

WIDTH, ROW, GAP, LEFT = 880, 74, 26, 24


class Palette(NamedTuple):
    """The colours of a picture: its ground, text, lines, and boxes of what works and what is said of it."""

    ground: str
    ink: str
    soft: str
    line: str
    worker: str
    triggerer: str
    end: str


LIGHT = Palette("#fff", "#22262e", "#5b6472", "#8a93a3", "#dbe7fb", "#d5f0ea", "#fdeccb")
DARK = Palette("#14181f", "#e8ebf0", "#a9b2c0", "#6b7484", "#22324d", "#1c3d36", "#45371c")

ROWS = [
    (
        "#e8def8",
        [
            ("operators", "generate, batch, upload, download"),
            ("decorators", "@task.gptimg"),
            ("gallery", "pictures in Airflow"),
        ],
    ),
    ("#dbe7fb", [("sensors", "wait for a generation"), ("batch", "many images in one task")]),
    ("#dff0fb", [("tasks", "what operators and sensors share"), ("cli", "commands: airflow gptimg")]),
    ("#d5f0ea", [("triggers", "waiting in the triggerer"), ("files", "names, storage, references")]),
    (
        "#fdeccb",
        [("hooks", "a connection as calls; shared clients"), ("compat", "private or changing Airflow")],
    ),
    ("#ffe2e2", [("payment", "the promise: who has paid for what, and whether to pay again; no Airflow")]),
    ("#fbdcd5", [("api", "the service's protocol: no Airflow in it, one module with HTTP")]),
]
BESIDE = ("emulator", "the service on your own machine; shares no code with the rest")


STEPS = [
    (
        "worker",
        ("Submit", "a task, under an id of its own"),
        ("Killed in the call", "the next attempt looks the id up, and goes on with what it finds"),
    ),
    (
        "worker",
        ("Remember", "the generation, in XCom and store"),
        ("Killed before it is remembered", "the same: the service knows the id"),
    ),
    (
        "triggerer",
        ("Wait", "no worker is held"),
        ("Triggerer killed", "another triggerer goes on with the wait"),
    ),
    (
        "worker",
        ("Finish", "fetch, check, store, hand on"),
        ("Killed, or the storage fails", "the retry fetches what was paid"),
    ),
    ("end", ("Given", "the task is green"), ("Cleared after that", "a new image, which is paid for")),
]
"""What a task does, and who does it; where it can end, and what happens then."""


def _box(
    place: tuple[float, float], width: float, fill: str, words: tuple[str, str], palette: Palette = LIGHT
) -> str:
    (x, y), (name, said) = place, words
    at, ink, soft = f'x="{x + 18:g}"', palette.ink, palette.soft
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW}" rx="10" fill="{fill}"/>'
        f'<text {at} y="{y + 32:g}" font-size="18" font-weight="600" fill="{ink}">{escape(name)}</text>'
        f'<text {at} y="{y + 54:g}" font-size="13" fill="{soft}">{escape(said)}</text>'
    )


def _arrow(x: float, y: float, length: float, palette: Palette = LIGHT) -> str:
    end = y + length
    return (
        f'<path d="M{x:g} {y:g}V{end:g}m-5 -7l5 7l5 -7" fill="none" stroke="{palette.line}" '
        f'stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>'
    )


def _picture(title: str, height: float, parts: list[str], palette: Palette = LIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" rx="14" fill="{palette.ground}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def task_life(palette: Palette) -> str:
    """Return the life of a task: its steps from the top down, beside each where it can end and what then."""
    left, right = 330, WIDTH - 2 * LEFT - 330 - 2 * GAP
    parts, y = [], 20.0
    for number, (who, step, end) in enumerate(STEPS):
        parts.append(_box((LEFT, y), left, getattr(palette, who), step, palette))
        middle = y + ROW / 2
        parts.append(
            f'<path d="M{LEFT + left + 8} {middle:g}h{2 * GAP - 16}" stroke="{palette.line}" '
            f'stroke-width="2" stroke-dasharray="3 5" stroke-linecap="round"/>'
        )
        x = LEFT + left + 2 * GAP
        parts.append(
            f'<rect x="{x}" y="{y:g}" width="{right}" height="{ROW}" rx="10" fill="none" '
            f'stroke="{palette.line}"/>'
        )
        parts.append(_box((x, y), right, "none", end, palette))
        y += ROW
        if number < len(STEPS) - 1:
            parts.append(_arrow(LEFT + left / 2, y + 4, GAP - 8, palette))
            y += GAP
    y += 34
    for place, (who, said) in enumerate((("worker", "on a worker"), ("triggerer", "in the triggerer"))):
        x = LEFT + place * 150
        parts.append(
            f'<rect x="{x}" y="{y - 12:g}" width="14" height="14" rx="3" fill="{getattr(palette, who)}"/>'
            f'<text x="{x + 22}" y="{y:g}" font-size="13" fill="{palette.soft}">{said}</text>'
        )
    return _picture("The life of a task, and what happens where it ends early", y + 18, parts, palette)


def code_map() -> str:
    """Return the map of the code: layers from the top down, arrows where one imports the next."""
    inner = WIDTH - 2 * LEFT
    parts, y = [], 20.0
    for number, (fill, boxes) in enumerate(ROWS):
        width = (inner - GAP * (len(boxes) - 1)) / len(boxes)
        for place, words in enumerate(boxes):
            parts.append(_box((LEFT + place * (width + GAP), y), width, fill, words))
        y += ROW
        if number < len(ROWS) - 1:
            parts.append(_arrow(WIDTH / 2, y + 4, GAP - 8))
            y += GAP
    # Beside it, across the network only.
    y += GAP
    parts.append(
        f'<path d="M{WIDTH / 2:g} {y - GAP + 4:g}v{GAP - 8}" stroke="{LIGHT.line}" stroke-width="2" '
        f'stroke-dasharray="3 5" stroke-linecap="round"/>'
        f'<text x="{WIDTH / 2 + 12:g}" y="{y - 9:g}" font-size="12.5" fill="{LIGHT.soft}">HTTP</text>'
    )
    parts.append(_box((LEFT, y), inner, "#e6e9ee", BESIDE))
    return _picture("The packages, from what a DAG uses down to the service", y + ROW + 20, parts)


DRAWINGS: Mapping[Path, str] = {
    DOCS / "_static" / "map.svg": code_map(),
    DOCS / "images" / "task-life-light.svg": task_life(LIGHT),
    DOCS / "images" / "task-life-dark.svg": task_life(DARK),
}

if __name__ == "__main__":
    for path, picture in DRAWINGS.items():
        path.write_text(picture)
