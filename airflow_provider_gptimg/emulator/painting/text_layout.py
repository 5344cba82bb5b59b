"""The prompt as text: wrapped, fitted, and in the fonts that this machine has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageDraw, ImageFont

# Searched by name in the system's usual places. Pillow's own font covers Latin, these cover the rest.
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansSymbols2-Regular.ttf",
)
_INVISIBLE = {"Mn", "Me", "Cf", "Cc", "Cs", "Co", "Cn"}
LINE = 1.28
"""Height of a line, in font sizes."""

LONGEST = 4_000
"""No picture shows more characters than this, so no more are measured."""

Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=256)
def font(name: str, size: int) -> Font | None:
    """Return a font in ``size`` pixels; the empty name means Pillow's own font."""
    try:
        found = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None
    return found if isinstance(found, Font) else None


@lru_cache(maxsize=8192)
def font_for(character: str) -> str | None:
    """Return the name of the first font that has ``character``, or ``None``."""
    return next((name for name in ("", *_SYSTEM_FONTS) if _has(name, character)), None)


def _has(name: str, character: str) -> bool:
    face = font(name, 24)
    if face is None:
        return False
    shape, missing = face.getmask(character), face.getmask("\U0010fffe")
    return character.isspace() or (shape.size, bytes(shape)) != (missing.size, bytes(missing))


def legible(text: str) -> str:
    """Return ``text`` with names in brackets, instead of empty boxes, for what no font can show."""
    pieces: list[str] = []
    script, count = "", 0
    for character in f"{unicodedata.normalize('NFC', text)}\n":
        name = "" if character.isspace() or font_for(character) is not None else _name(character)
        if count and name != script:
            pieces.append(f"[{script}]" if count == 1 else f"[{count} {script}]")
            count = 0
        if name:
            script, count = name, count + 1
        elif character.isspace() or unicodedata.category(character) not in _INVISIBLE:
            pieces.append(character)
    return "".join(pieces)[:-1]


def _name(character: str) -> str:
    """Name an emoji in full and a letter by its script; return nothing for a character without a shape."""
    category = unicodedata.category(character)
    if category in _INVISIBLE:
        return ""
    name = unicodedata.name(character, "character").lower()
    return name if category in {"So", "Sk", "Sm"} else name.split()[0].upper()


def width_of(text: str, size: int) -> float:
    """Return the width of a line in pixels."""
    return sum(face.getlength(part) for face, part in _runs(text, size))


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, fill: tuple[int, int, int]
) -> None:
    """Write one line; ``at`` is the left end of its baseline."""
    x, y = at
    for face, part in _runs(text, size):
        draw.text((x, y), part, font=face, fill=fill, anchor="ls")
        x += face.getlength(part)


def _runs(text: str, size: int) -> Iterator[tuple[Font, str]]:
    """Cut ``text`` into pieces of one font each."""
    start, current = 0, ""
    for position, character in enumerate(text):
        name = current if character.isspace() else font_for(character) or ""
        if name != current:
            if position > start:
                yield _face(current, size), text[start:position]
            start, current = position, name
    if start < len(text):
        yield _face(current, size), text[start:]


def _face(name: str, size: int) -> Font:
    face = font(name, size)
    assert face is not None  # noqa: S101 - font_for() only names fonts that load
    return face


@dataclass(frozen=True)
class Setting:
    """Lines of text that fit, and their font size."""

    lines: tuple[str, ...]
    size: int
    complete: bool

    @property
    def height(self) -> float:
        """Height of all lines in pixels."""
        return len(self.lines) * self.size * LINE

    @property
    def width(self) -> float:
        """Width of the longest line in pixels."""
        return max(width_of(line, self.size) for line in self.lines)


def fit(text: str, width: float, height: float, largest: int, smallest: int) -> Setting:
    """Set ``text`` as large as possible within ``width`` and ``height``; cut it if nothing else helps."""
    shown = legible(text[:LONGEST])
    size = largest
    while True:
        lines = _wrap(shown, width, size)
        room = max(1, int(height / (size * LINE)))
        if len(lines) <= room and len(text) <= LONGEST:
            return Setting(tuple(_balanced(lines, shown, width, size)), size, complete=True)
        if size <= smallest:
            *kept, last = lines[:room]
            return Setting((*kept, _shortened(last, width, size)), size, complete=False)
        size = max(smallest, min(size - 1, int(size * 0.88)))


def _wrap(text: str, width: float, size: int) -> list[str]:
    lines: list[str] = []
    space = width_of(" ", size)
    for paragraph in text.strip().splitlines():
        line, used = "", 0.0
        for word in _words(paragraph, width, size):
            length = width_of(word, size)
            glue = space if line and not _joins(line[-1], word[0]) else 0.0
            if line and used + glue + length > width:
                lines.append(line)
                line, used, glue = "", 0.0, 0.0
            line += (" " if glue else "") + word
            used += glue + length
        lines.append(line)
    return lines or [""]


def _balanced(lines: list[str], text: str, width: float, size: int) -> list[str]:
    """Set a short text narrower if that needs no more lines, so that the last word does not stand alone."""
    narrower = width * 0.94
    while 1 < len(lines) <= 4 and narrower > width / 2:
        again = _wrap(text, narrower, size)
        if len(again) > len(lines):
            break
        lines, narrower = again, narrower * 0.94
    return lines


def _joins(before: str, after: str) -> bool:
    """Tell whether two pieces are joined without a space, as in scripts that have none."""
    return all(unicodedata.east_asian_width(character) in "WF" for character in (before, after))


def _words(paragraph: str, width: float, size: int) -> Iterator[str]:
    """Cut a paragraph where a line may end: at spaces, between wide characters, inside overlong words."""
    for word in paragraph.split():
        piece = ""
        for character in word:
            wide = unicodedata.east_asian_width(character) in "WF"
            if piece and (wide or _too_long(piece + character, width, size)):
                yield piece
                piece = ""
            piece += character
        yield piece


def _too_long(piece: str, width: float, size: int) -> bool:
    return len(piece) * size > width and width_of(piece, size) > width


def _shortened(line: str, width: float, size: int) -> str:
    while line and width_of(f"{line} …", size) > width:
        line = line[:-1]
    return f"{line.rstrip()} …"
