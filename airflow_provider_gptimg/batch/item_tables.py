"""Items in a DataFrame of pandas or polars. Neither has to be installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_gptimg.batch.columns import Columns, Record

_NOTHING = ("NAType", "NaTType")
"""The types of pandas' missing values, apart from None and NaN."""


class ItemTable:
    """The items of a table, one per row.

    :param table: a DataFrame.
    """

    def __init__(self, table: Any, columns: Columns) -> None:
        self.skipped = 0
        self._table = table
        self._columns = columns

    @staticmethod
    def is_one(given: object) -> bool:
        """Return whether this is a DataFrame."""
        has_rows = hasattr(given, "iter_rows") or hasattr(given, "to_dict")
        return hasattr(given, "columns") and has_rows and not isinstance(given, (type, Mapping))

    def __repr__(self) -> str:
        return f"<{type(self._table).__name__} of {len(self._table)} rows>"

    def __iter__(self) -> Iterator[object]:
        self.skipped = 0
        names = [str(name).strip() for name in self._table.columns]
        self._columns.check_header(names, self)
        for row in self._rows():
            record = Record((str(name).strip(), _value(cell)) for name, cell in row.items())
            if all(cell is None or cell == "" for cell in record.values()):
                self.skipped += 1
            else:
                yield record

    def _rows(self) -> Iterable[Mapping[Any, Any]]:
        if hasattr(self._table, "iter_rows"):  # polars
            rows: Iterable[Mapping[Any, Any]] = self._table.iter_rows(named=True)
        else:
            rows = self._table.to_dict("records")
        return rows


def _value(cell: Any) -> Any:
    """Return a cell as a plain Python value, None for a missing one."""
    if hasattr(cell, "tolist"):  # a number or an array of numpy
        cell = cell.tolist()
    is_nan = isinstance(cell, float) and cell != cell  # noqa: PLR0124
    return None if is_nan or type(cell).__name__ in _NOTHING else cell
