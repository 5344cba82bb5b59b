"""The linter of the project's English finds what it is for, and nothing in code."""

from __future__ import annotations

from pathlib import Path

import pytest

prose = pytest.importorskip("dev.prose", reason="proselint is not installed here")

LONG = " ".join(["word"] * 46)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.md", "It works, but\nfor one case.\n", [(1, "'but for': write except for")]),
        ("a.md", "One.\n\nShould there be none, stop.\n", [(3, "'Should there': write 'if'")]),
        ("a.md", "```text\nmade anew\n```\n\n`made anew` and [this](that of).\n", []),
        ("a.md", f"{LONG}.\n", [(1, "a sentence of 46 words: " + repr(LONG[:40]))]),
        (
            "a.py",
            'anew = 1  # made anew\n"""Made anew."""\n',
            [(1, "'anew': write again"), (2, "'anew': write again")],
        ),
        ("a.py", 'print(f"made anew: {anew}")\n', [(1, "'anew': write again")]),
    ],
)
def test_what_is_found(tmp_path: Path, name: str, text: str, found: list[tuple[int, str]]) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert list(prose.findings(file)) == found
