"""What stands on the page on which a review asks people."""

from __future__ import annotations

import re

_PICTURE = re.compile(r"\[!\[Picture (\d+)(?:\\.|[^\]\\])*\]\(([^)]+)\)\]\(([^)]+)\)")


def pictures_in(body: str) -> list[tuple[str, str, str]]:
    """Return number, thumbnail and large picture of each image that the page shows."""
    return _PICTURE.findall(body)
