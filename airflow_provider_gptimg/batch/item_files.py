"""Items in a file: JSON lines or CSV, in the variants that people use."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.batch.columns import Columns, Record
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.result import TEXT_OF_A_VALUE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv")
"""The file name endings of a file of items, before an optional ``.gz``."""

_SEPARATED = (".csv", ".tsv")
_DELIMITERS = ",;\t"
_GZIPPED = b"\x1f\x8b"
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CANNOT_BE_READ = (UnicodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error)


class ItemFile:
    """The items of a file; iterating reads it again, line by line.

    :param where: its path or URI.
    :raises ApiError: INVALID if it is not such a file, also during reading; STORAGE if it cannot be read.
    """

    def __init__(self, where: str, columns: Columns) -> None:
        self.skipped = 0
        self._where = where.strip()
        self._columns = columns
        if self._where[:1] in ("[", "{", "("):
            raise invalid("items", where, TEXT_OF_A_VALUE)
        ending = self._where.lower().removesuffix(".gz")
        if not ending.endswith(ENDINGS):
            raise invalid(
                "items", where, f"the path of a file is needed; it ends in one of {', '.join(ENDINGS)}"
            )
        self._read = self._read_csv if ending.endswith(_SEPARATED) else self._read_json

    def __repr__(self) -> str:
        return repr(self._where)

    def __iter__(self) -> Iterator[object]:
        self.skipped = 0
        try:
            with _opened(self._where) as lines:
                yield from self._read(lines)
        except ApiError:
            raise
        except _CANNOT_BE_READ as error:
            raise invalid("items", self._where, f"it cannot be read ({error})") from None
        except Exception as error:
            raise ApiError(
                Kind.STORAGE, f"The items {self._where} cannot be read ({type(error).__name__}: {error})."
            ) from error

    def _read_json(self, lines: Iterable[str]) -> Iterator[object]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                # NaN and Infinity are not JSON. Tables write them for empty cells.
                value = json.loads(line, parse_constant=lambda _: None)
            except ValueError as error:
                raise invalid("items", self._where, f"line {number} is not JSON ({error})") from None
            yield Record(value) if isinstance(value, dict) else value

    def _read_csv(self, lines: Iterable[str]) -> Iterator[object]:
        header: list[str] | None = None
        for number, cells in _rows(lines, self._columns):
            if not any(cell.strip() for cell in cells):
                self.skipped += bool(cells)
            elif header is None:
                header = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
                self._columns.check_header(header, self._where)
            elif len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
                raise invalid(
                    "items",
                    self._where,
                    f"line {number} has a different number of cells than the header line",
                )
            else:
                yield self._record(header, cells)

    def _record(self, header: list[str], cells: list[str]) -> Record:
        record = Record()
        for place, (name, cell) in enumerate(zip(header, cells, strict=False), start=1):
            if fields := self._columns.fields(name):
                record[name] = _value(fields, cell) if cell.strip() else None
            elif cell.strip() or name != f"column {place}":
                record[name] = cell
        return record


def _rows(lines: Iterable[str], columns: Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's last line, and its cells."""
    lines = iter(lines)
    before = []
    for line in lines:
        before.append(line)
        if line.strip(f"{_DELIMITERS} \r\n"):
            break
    else:
        return
    rows = csv.reader(chain(before, lines), delimiter=_delimiter(before[-1], columns))
    for cells in rows:
        yield rows.line_num, cells


def _delimiter(header: str, columns: Columns) -> str:
    """Return the delimiter of a header line: the one that gives a prompt column, and the most columns."""

    def fit(delimiter: str) -> tuple[bool, int]:
        names = next(csv.reader([header], delimiter=delimiter))
        return columns.has_prompt(names), len(names)

    return max(_DELIMITERS, key=fit)


def _value(fields: Iterable[str], cell: str) -> object:
    """Return the value of a cell's text, depending on its column."""
    is_json = any(
        field in ("n", "extra_body") or (field == "reference_images" and cell.lstrip().startswith("["))
        for field in fields
    )
    if not is_json:
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell  # the check of its field refuses it, with its name


@contextmanager
def _opened(where: str) -> Iterator[io.TextIOWrapper]:
    with Place.of(where).open("rb") as file:
        content: Any = io.BufferedReader(_Stream(file))
        if content.peek(len(_GZIPPED)).startswith(_GZIPPED):
            content = gzip.GzipFile(fileobj=content)
        yield io.TextIOWrapper(content, encoding=_encoding(content.peek(2)), newline="")


def _encoding(start: bytes) -> str:
    if start.startswith(_BYTE_ORDER_MARKS):
        return "utf-16"
    # Without a byte order mark: the first character of such a file is ASCII.
    if start[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if start[:1] == b"\0" else "utf-8-sig"


class _Stream(io.RawIOBase):
    """Wraps an opened file for Python's own streams: some files of Airflow 3.0's storages are not streams."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        content: bytes = self._file.read(len(view))
        view[: len(content)] = content
        return len(content)
