"""Files of JSON lines in storage: written whole, read tolerantly."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.files.place import Place

_READERS = 8

MAX_LINE = 200_000
"""Longest line of a manifest that is read, in characters: a prompt has at most 32,000."""

MAX_REST = 100_000_000
"""Characters of a longer line that are skipped at most; a line from a device never ends."""


def write_lines(path: Place, lines: Iterable[str]) -> None:
    """Write a file of lines: the whole file, or nothing.

    :raises ApiError: kind STORAGE.
    """
    with storage_named(path), tempfile.TemporaryDirectory(prefix="gptimg-") as scratch:
        local = Path(scratch) / "lines.jsonl"
        # So half a surrogate pair becomes its JSON escape. It may be in a prompt that was refused because of
        # it.
        with local.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in lines)
        path.put(local)


def read_records(paths: Sequence[Place]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in some small files, in order; skip what a crash or somebody else left.

    :raises ApiError: kind STORAGE.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(paths), _READERS):
            for text in readers.map(_read, paths[start : start + _READERS]):
                for line in text.split("\n"):
                    with contextlib.suppress(ValueError):
                        record = json.loads(line)
                        if isinstance(record, dict):
                            yield record


def read_lines(path: Place, start: int = 0) -> Iterator[Any]:
    """Yield the values of a file of JSON lines, None for a line that is too long. Reads lazily.

    :param start: number of the first line, from 0.
    :raises Exception: whatever the storage raises; ValueError for a line that is not JSON.
    """
    with path.open("r", encoding="utf-8") as file:
        for text in islice(_texts(file), start, None):
            yield None if text is None else json.loads(text)


def strict_json(value: object) -> str:
    """Return a value as JSON for every reader: null for NaN, text for what JSON cannot express."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(plain_json(value), ensure_ascii=False)


def plain_json(value: object) -> Any:
    """Return a value after a round trip through JSON."""
    if value is None or isinstance(value, (str, int)):
        return value
    try:
        return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
    except (TypeError, ValueError, RecursionError):  # odd keys, or a list that contains itself
        return f"<{type(value).__name__}>"


@contextlib.contextmanager
def storage_named(path: Place) -> Iterator[None]:
    """Turn any exception of a storage into an error that names the place."""
    try:
        yield
    except ApiError:
        raise
    except Exception as error:
        raise ApiError(
            Kind.STORAGE, f"The batch's own records at {path} failed ({type(error).__name__}: {error})."
        ) from error


def _read(path: Place) -> str:
    with storage_named(path):
        return path.read().decode(errors="replace")


def _texts(file: TextIO) -> Iterator[str | None]:
    """Yield the lines of a file, None for one that is too long."""
    while text := file.readline(MAX_LINE + 1):
        if text.endswith("\n") or len(text) <= MAX_LINE:
            yield text
        else:
            _pass_over(file)
            yield None


def _pass_over(file: TextIO) -> None:
    for _ in range(MAX_REST // MAX_LINE):
        part = file.readline(MAX_LINE)
        if not part or part.endswith("\n"):
            return
    raise ValueError("a line is too long")
