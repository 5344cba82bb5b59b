"""Draws the map of the code, ``docs/_static/map.svg``: ``python docs/_extensions/code_map.py``."""

from __future__ import annotations

from html import escape
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "_static" / "map.svg"

WIDTH, ROW, GAP, LEFT = 880, 74, 26, 24
INK, SOFT, LINE = "#22262e", "#5b6472", "#8a93a3"

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


def _box(place: tuple[float, float], width: float, fill: str, words: tuple[str, str]) -> str:
    (x, y), (name, said) = place, words
    at = f'x="{x + 18:g}"'
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW}" rx="10" fill="{fill}"/>'
        f'<text {at} y="{y + 32:g}" font-size="18" font-weight="600" fill="{INK}">{escape(name)}</text>'
        f'<text {at} y="{y + 54:g}" font-size="13" fill="{SOFT}">{escape(said)}</text>'
    )


def _arrow(x: float, y: float, length: float) -> str:
    end = y + length
    return (
        f'<path d="M{x:g} {y:g}V{end:g}m-5 -7l5 7l5 -7" fill="none" stroke="{LINE}" '
        f'stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>'
    )


def drawn() -> str:
    """Return the picture: layers from the top down, arrows where one imports the next."""
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
        f'<path d="M{WIDTH / 2:g} {y - GAP + 4:g}v{GAP - 8}" stroke="{LINE}" stroke-width="2" '
        f'stroke-dasharray="3 5" stroke-linecap="round"/>'
        f'<text x="{WIDTH / 2 + 12:g}" y="{y - 9:g}" font-size="12.5" fill="{SOFT}">HTTP</text>'
    )
    parts.append(_box((LEFT, y), inner, "#e6e9ee", BESIDE))
    height = y + ROW + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif">\n'
        "<title>The packages, from what a DAG uses down to the service</title>\n"
        f'<rect width="100%" height="100%" rx="14" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    OUTPUT.write_text(drawn())
