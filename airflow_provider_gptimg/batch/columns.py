"""Maps columns and keys of an item to parts of its request. The others are its row, and are passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_provider_gptimg.api.errors import invalid

FIELDS = ("prompt", "size", "resolution", "n", "model", "reference_images", "extra_body")
"""The parts of its request that an item may set. The batch's own values are the defaults."""

NAMES = (*FIELDS, "id")
"""The same, plus the author's own name for the item."""

_OLDER_NAMES = {"image_urls": "reference_images"}
_NEAR = 0.85
"""Names at least this similar count as misspelt: ``reference_image`` does, ``mode`` does not."""


class Record(dict[str, Any]):
    """A row of a file or table. None in it means an empty cell."""


class Columns:
    """The names of columns and keys, compared without regard to case and blanks.

    :param given: ``{"prompt": "text"}`` if the column or key ``text`` holds the prompt;
        ``{"size": None}`` if no column holds the size, and ``size`` means something else.
    :raises ValueError: for anything else.
    """

    def __init__(self, given: object = None) -> None:
        self._given = _checked(given)
        self._fields: dict[str, list[str]] = {}
        for field in NAMES:
            column = self._given.get(field, field)
            if column is not None:
                self._fields.setdefault(_plain(column), []).append(field)
        for field in ("reference_images", "extra_body"):
            if field not in self._given:  # "Reference Images" is one too
                self._fields.setdefault(field.replace("_", ""), [field])
        self._meant: dict[str, str | None] = {}

    def fields(self, name: object) -> Sequence[str]:
        """Return the fields that a column or key of this name sets, or nothing if it is only passed on."""
        return self._fields.get(_plain(name), ())

    def has_prompt(self, names: Iterable[object]) -> bool:
        """Return whether one of the columns holds the prompts."""
        return any("prompt" in self.fields(name) for name in names)

    def check_header(self, names: Sequence[str], source: object) -> None:
        """Check the columns of a file or table.

        :param source: the file or table, for messages.
        :raises ApiError: INVALID if a column is missing or appears twice.
        """
        listed, seen = ", ".join(names), set()
        for name in names:
            if _plain(name) in seen:
                raise invalid("items", source, f"the column {name!r} appears twice; its columns are {listed}")
            seen.add(_plain(name))
        for column in self._given.values():
            if column is not None and _plain(column) not in seen:
                raise invalid(
                    "items",
                    source,
                    f"columns= names {column!r}, but there is no such column; its columns are {listed}",
                )
        if not self.has_prompt(names):
            raise invalid("items", source, no_prompt(names, "columns"))

    def split(self, item: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the request fields and id of an item, and its row.

        :raises ApiError: INVALID if something is set twice, or if a name seems misspelt.
        """
        said: dict[str, Any] = {}
        row: dict[str, Any] = {}
        for name, value in item.items():
            fields = self.fields(name)
            for field in fields:
                if field in said:
                    raise invalid("items", dict(item), f"{field} appears twice")
                said[field] = value
            if not fields:
                row[str(name)] = value
        for name in row:
            meant = self._field_meant_by(name)
            if meant is not None and meant not in said:
                raise invalid(
                    "items",
                    dict(item),
                    f"{name!r} looks like {meant}: if it is, set columns={{{meant!r}: {name!r}}}; if not, "
                    f"set columns={{{meant!r}: None}}",
                )
        return said, row

    def _field_meant_by(self, name: str) -> str | None:
        if name not in self._meant:
            open_to_guesses = [
                field for field in NAMES if field not in self._given and len(field) > len("id")
            ]
            near = get_close_matches(_plain(name), open_to_guesses, n=1, cutoff=_NEAR)
            older = _OLDER_NAMES.get(_plain(name))
            self._meant[name] = older if older in open_to_guesses else near[0] if near else None
        return self._meant[name]


def no_prompt(names: Iterable[object], kind: str) -> str:
    """Return the error text for a file or an item that has no prompt.

    :param names: the names that it has.
    :param kind: ``columns`` or ``keys``.
    """
    listed = ", ".join(map(str, names)) or "none"
    return (
        f"there is no prompt; its {kind} are {listed}. Say which one is the prompt, such as "
        'columns={"prompt": "text"}'
    )


def _plain(name: object) -> str:
    return "".join(str(name).split()).casefold()


def _checked(given: object) -> Mapping[str, str | None]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f'columns={given!r} is not allowed: a dict of names is needed, such as {{"prompt": "text"}}.'
        )
    for field, column in given.items():
        if field not in NAMES:
            raise ValueError(f"columns={given!r} is not allowed: {field!r} is not one of {', '.join(NAMES)}.")
        if column is not None and (not isinstance(column, str) or not column.strip()):
            raise ValueError(f"columns={given!r} is not allowed: the name of a column or key, or None.")
    if given.get("prompt", "prompt") is None:
        raise ValueError(f"columns={given!r} is not allowed: every item needs a prompt.")
    return dict(given)
