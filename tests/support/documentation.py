"""The pages that people read, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
ABOVE = sorted(CHECKOUT.glob("*.md"))
"""Pages beside the package: README, changelog, how to contribute."""

BELOW = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
PAGES = [*ABOVE, *BELOW]

_FENCE = re.compile(
    r"^(?P<fence>```+|:::+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"# ([\w./]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A block of code: in which page, in which language, what it says."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{named(self.page)}: {self.text.strip().splitlines()[0] if self.text.strip() else ''}"

    @property
    def file(self) -> str | None:
        """The file that it says it is, if its first line is a comment with a path."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def named(page: Path) -> str:
    """Return a page's name for the id of a test."""
    return page.relative_to(CHECKOUT).as_posix()


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in some languages, of all where none is named."""
    return [
        Block(page, found["language"], found["text"])
        for page in PAGES
        for found in _FENCE.finditer(page.read_text())
        if not languages or found["language"] in languages
    ]


def anchors(page: Path) -> set[str]:
    """Return what can be linked to in a page: its headings, as MyST and GitHub write them."""
    text = _FENCE.sub("", page.read_text())
    heads = re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
