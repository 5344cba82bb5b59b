"""Checks all items of a batch before anything is paid: what is wrong, and what the author should know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.batch.items import Item, Items, canonical

_SHOWN = 5
"""Maximum number of bad items that one message names."""

_ROW_NAMES = 20
"""Maximum number of columns that the log names."""


@dataclass(frozen=True)
class Checked:
    """What the check of all items found.

    :param total: the number of items.
    :param problems: the items that cannot be requested, and why.
    :param notes: what the author may want to know, one sentence each.
    :param sizes: the requested sizes, each with its resolution.
    :param priced: the requested models, each with a resolution.
    :param warning: what the author should check.
    """

    total: int
    problems: list[tuple[Item, ApiError]]
    notes: list[str]
    sizes: set[tuple[str, str]]
    priced: set[tuple[str, str]]
    warning: str | None = None

    def are_too_many(self, most: int | None) -> bool:
        """Return whether the batch is refused because of its problems.

        :param most: maximum number of failed items; None allows any number, except all.
        """
        return len(self.problems) == self.total or (most is not None and len(self.problems) > most)

    def refusal(self) -> ApiError:
        """Return the error for items that cannot be requested."""
        problems = self.problems
        named = "; ".join(f"{item.label}: {error.message}" for item, error in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return ApiError(
            Kind.INVALID,
            f"{len(problems)} of {self.total} items are not allowed: {named}{more}",
            field="items",
        )


def check(items: Items, *, has_cache: bool = False) -> Checked:
    """Check all items. Nothing is sent, and no reference image is read.

    :param has_cache: whether items with the same request are paid only once.

    :raises ApiError: INVALID if the items cannot be read, if there are none, or if two have the same id.
    """
    total, problems, row_names, twins = 0, [], dict[str, None](), _Twins()
    sizes: set[tuple[str, str]] = set()
    priced: set[tuple[str, str]] = set()
    for item in items:
        total += 1
        row_names.update(dict.fromkeys(item.row))
        twins.add(item)
        try:
            if item.problem is not None:
                raise item.problem
            request = item.request(with_files=False)
            sizes.add((request.size, request.resolution))
            priced.add((request.model, request.resolution))
        except ApiError as error:
            problems.append((item, error))
    if total == 0:
        raise invalid("items", items.source, "there are no items")
    twins.check()
    notes = []
    if items.skipped:
        notes.append(f"Empty rows that were skipped: {items.skipped}.")
    if row_names:
        named = ", ".join(list(row_names)[:_ROW_NAMES])
        more = ", …" if len(row_names) > _ROW_NAMES else ""
        notes.append(f"These columns are only copied to the manifest, as row: {named}{more}.")
    return Checked(total, problems, notes, sizes, priced, None if has_cache else twins.warning)


class _Twins:
    """Finds items with the same id, and items that ask for the same image."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._same_ids: list[str] = []
        self._asked: dict[bytes, str] = {}
        self._repeated = 0
        self._example = ""

    def add(self, item: Item) -> None:
        if item.id is not None:
            first = self._ids.setdefault(str(item.id), item.index)
            if first != item.index:
                self._same_ids.append(f"{item.id!r} of item {first} and item {item.index}")
        if item.problem is None:
            asked = hashlib.sha256(canonical(item.fields).encode()).digest()
            first_label = self._asked.get(asked)
            if first_label is None:
                self._asked[asked] = item.label
            else:
                self._repeated += 1
                self._example = self._example or f"{item.label}, which asks for the same as {first_label}"

    def check(self) -> None:
        """Check that no two items have the same id.

        :raises ApiError: INVALID.
        """
        if self._same_ids:
            named = ", ".join(self._same_ids[:_SHOWN])
            more = f" and {len(self._same_ids) - _SHOWN} more" if len(self._same_ids) > _SHOWN else ""
            raise ApiError(
                Kind.INVALID, f"Two items must not have the same id, such as {named}{more}.", field="items"
            )

    @property
    def warning(self) -> str | None:
        """Return a warning about items that ask for the same image, None if there are none."""
        if not self._repeated:
            return None
        return (
            f"{self._repeated} items repeat an earlier item, such as {self._example}. Each makes its own "
            "image, and each is billed."
        )
