"""A linter for the English in pages, docstrings, comments and messages: proselint and some own rules.

Run it with ``make lint``. It prints one line per finding, and exits with 1 if there are any.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__ as proselint_checks
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = ("*.md", "docs/**/*.md")
SOURCES = ("airflow_provider_gptimg/**/*.py", "dev/**/*.py", "benchmarks/**/*.py", "example_dags/*.py")

WORDS = {
    r"but for": "except for",
    r"that of": "the noun itself: 'the key of the account', not 'that of the account'",
    r"those of": "the noun itself",
    r"(?:so|as) (?:many|much) \w+ (?:may|is|are|can|has|have)": "the usual order: 'at most', 'the number of'",
    r"anew": "again",
    r"for ever": "forever",
    r"over all": "in total",
    r"dearer": "more expensive",
    r"thereof|therein|wherein|hereby|herein|hitherto|lest|upon": "the usual word",
    r"(?-i:Had|Should|Were) (?:it|there|they|one|you|the|a)": "'if'",
    r"of which": "a sentence of its own",
    r"nobody else's business": "what is meant: private",
    r"what is none": "what is meant",
}
"""What to write instead of a phrase; a phrase is a regular expression of whole words, in any case."""

LONGEST = 45
"""Maximum words of a sentence. A longer one says more than one thing."""

_QUIET = ("typography.symbols", "misc.but")
_CODE = re.compile(
    r"^(`{3,})[^\n]*\n.*?^\1|``[^`]+``|`[^`\n]+`|\]\([^)]*\)|<[^>\n]+>", re.MULTILINE | re.DOTALL
)
_SENTENCE = re.compile(r"[^.!?:;|]+")


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each finding in a file."""
    text = path.read_text()
    prose = _blanked(_CODE, text) if path.suffix == ".md" else _prose_of_source(text)
    for pattern, instead in WORDS.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", re.sub(r"\s", " ", prose), re.IGNORECASE):
            yield _line(text, match.start()), f"{match[0]!r}: write {instead}"
    if path.suffix == ".md":
        for result in LintFile(path.name, prose).lint(DEFAULT):
            found = result.check_result
            is_code = "xx" in prose[max(0, found.span[0] - 1) : found.span[1]]
            if not is_code and not found.check_path.startswith(_QUIET):
                yield result.pos[0], found.message
        for paragraph in re.finditer(r"(?:^(?![|#]).+\n?)+", prose, re.MULTILINE):
            for sentence in _SENTENCE.finditer(paragraph[0]):
                if (words := len(sentence[0].split())) > LONGEST:
                    at = paragraph.start() + sentence.start()
                    yield _line(text, at), f"a sentence of {words} words: {sentence[0].strip()[:40]!r}"


def _prose_of_source(text: str) -> str:
    """Return a source with everything blanked except comments and strings."""
    lines = [[" "] * len(line) for line in text.splitlines(keepends=True)]
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            (row, column) = token.start
            for number, line in enumerate(token.string.splitlines(keepends=True)):
                start = column if number == 0 else 0
                lines[row - 1 + number][start : start + len(line)] = line
    return _blanked(re.compile(r"``[^`]+``|\{[^{}\n]*\}|\"\"\""), "".join("".join(line) for line in lines))


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Replace each match in a text by a word of the same length, so that nothing else moves."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def main() -> int:
    """Print the findings in all files, or in the named ones."""
    registry = CheckRegistry()
    registry.register_many(proselint_checks)
    named = [Path(name) for name in sys.argv[1:]]
    found = {file for glob in (*PAGES, *SOURCES) for file in CHECKOUT.glob(glob)} - {Path(__file__)}
    files = named or sorted(found)
    count = 0
    for file in files:
        for line, what in findings(file):
            print(f"{file.resolve().relative_to(CHECKOUT)}:{line}: {what}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
