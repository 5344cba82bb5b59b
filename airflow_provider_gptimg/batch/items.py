"""The items of a batch: read one after the other from wherever they are, checked, each with an identity."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.batch.columns import Columns, Record, no_prompt
from airflow_provider_gptimg.batch.item_files import ENDINGS, ItemFile
from airflow_provider_gptimg.batch.item_tables import ItemTable
from airflow_provider_gptimg.batch.json_lines import plain_json
from airflow_provider_gptimg.files.references import reference_texts, references
from airflow_provider_gptimg.result import PROMPT_CHARACTERS

_SHOWN = 5
"""Maximum number of bad items that one message names."""

_ROW_NAMES = 20
"""Maximum number of columns that the log names."""


@dataclass(frozen=True)
class Item:
    """One item: a request under an identity of its own.

    :param index: its place in the batch, from 0.
    :param id: the author's own name for it, handed on as it is if JSON can say it, else as text.
    :param fields: what is asked for, with the batch's values filled in.
    :param digest: the identity, hexadecimal, 160 bits: of the batch, of everything asked for, and of how
        many such items came before. So it does not depend on the item's place.
    :param problem: why it cannot be asked for.
    :param row: what else the author says of it, as plain JSON; it is only passed on.
    """

    index: int
    id: Any
    fields: Mapping[str, Any]
    digest: str
    problem: ApiError | None = None
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """What a journal keeps of the request, for those who look on before there is a manifest."""
        names = ("model", "size", "resolution")
        prompt = str(self.fields.get("prompt"))[:PROMPT_CHARACTERS]
        return {"index": self.index, "prompt": prompt, **{name: self.fields.get(name) for name in names}}

    def request(self, *, with_files: bool = True) -> GenerationRequest:
        """Return the request, checked.

        :param with_files: False leaves out reference images that are files, which takes no call to a storage.
        :raises ApiError: INVALID, EXPIRED, REFERENCE.
        """
        fields = dict(self.fields)
        prompt, images = fields.pop("prompt", None), fields.pop("reference_images", None)
        if not with_files and images is not None:
            images = [image for image in images if image.lower().startswith(("http://", "https://"))]
        return GenerationRequest.checked(prompt, **fields, reference_images=references(images))


@dataclass(frozen=True)
class Checked:
    """What a look at all items found.

    :param total: how many there are.
    :param problems: those that cannot be asked for, and why.
    :param notes: what the author should know, a sentence each.
    """

    total: int
    problems: list[tuple[Item, ApiError]]
    notes: list[str]

    def refusal(self) -> ApiError:
        """Return the error for items that cannot be asked for."""
        problems = self.problems
        named = "; ".join(f"item {item.index}: {error.message}" for item, error in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return ApiError(
            Kind.INVALID,
            f"{len(problems)} of {self.total} items are not allowed: {named}{more}",
            field="items",
        )


class Items:
    """All items of a batch; iterating reads them anew.

    :param source: prompts and dicts, a DataFrame, or the path or URI of a file of JSON lines or CSV.
    :param defaults: the batch's own values.
    :param identity: the batch's, which goes into each item's.
    :param columns: which column or key is which.
    :raises ApiError: INVALID if the source is none of these.
    """

    def __init__(self, source: object, defaults: Mapping[str, Any], identity: str, columns: Columns) -> None:
        self._source = _opened(source, columns)
        self._defaults = defaults
        self._identity = identity
        self._columns = columns

    def __iter__(self) -> Iterator[Item]:
        seen: Counter[bytes] = Counter()
        for index, given in enumerate(self._source):
            yield self._item(index, given, seen)

    def check(self) -> Checked:
        """Look at all items. Nothing is sent, and no reference image is read.

        :raises ApiError: INVALID if the items cannot be read, or there are none.
        """
        total, problems, row_names = 0, [], dict[str, None]()
        for item in self:
            total += 1
            row_names.update(dict.fromkeys(item.row))
            try:
                if item.problem is not None:
                    raise item.problem
                item.request(with_files=False)
            except ApiError as error:
                problems.append((item, error))
        if total == 0:
            raise invalid("items", self._source, "there is no item")
        notes = []
        if skipped := getattr(self._source, "skipped", 0):
            notes.append(f"Empty rows that were skipped: {skipped}.")
        if row_names:
            named = ", ".join(list(row_names)[:_ROW_NAMES])
            more = ", …" if len(row_names) > _ROW_NAMES else ""
            notes.append(f"Only passed on to the manifest, as row: {named}{more}.")
        return Checked(total, problems, notes)

    def _item(self, index: int, given: object, seen: Counter[bytes]) -> Item:
        name, row = None, dict[str, Any]()
        try:
            said, row = self._said(given)
            name = _name(said.pop("id", None))
            fields = self._fields(given, said)
            text, problem = _canonical(fields), None
        except ApiError as error:
            fields, problem = {"prompt": _shown(given)}, error
            text = _canonical(fields)
        sent = hashlib.sha256(text.encode()).digest()
        made_of = f"{self._identity}\0{sent.hex()}\0{seen[sent]}"
        seen[sent] += 1
        digest = hashlib.sha256(made_of.encode()).hexdigest()[:40]
        return Item(index, name, fields, digest, problem, row)

    def _said(self, given: object) -> tuple[dict[str, Any], dict[str, Any]]:
        if isinstance(given, str):
            return {"prompt": given}, {}
        if not isinstance(given, Mapping):
            raise invalid("items", given, "a prompt or a dict of request fields is needed")
        said, row = self._columns.split(given)
        return said, {name: plain_json(value) for name, value in row.items()}

    def _fields(self, given: object, said: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(given, Mapping) and "prompt" not in said:
            raise invalid("prompt", None, no_prompt(given, "keys"))
        own = {name: value for name, value in said.items() if value is not None}
        if isinstance(given, Record) and isinstance(own.get("n"), float) and own["n"].is_integer():
            own["n"] = int(own["n"])  # tables make all numbers of a column floats where a cell is empty
        fields = {**self._defaults, **own}
        if fields.get("reference_images") is not None:
            fields["reference_images"] = reference_texts(fields["reference_images"])
        return fields


def _name(given: object) -> Any:
    """Return an item's own name as JSON can say it, None where it has none."""
    if isinstance(given, float):
        if math.isnan(given):
            return None
        return int(given) if given.is_integer() else str(given)
    if given is None or isinstance(given, int):
        return given
    return str(given).strip() or None


def _canonical(fields: Mapping[str, Any]) -> str:
    """Return the same text for the same fields; a value that JSON cannot say will be refused."""
    try:
        return json.dumps(fields, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid("items", fields, f"it must be plain JSON ({error})") from None


def _shown(given: object) -> str:
    try:
        return repr(given)[:1000]
    except (ValueError, RecursionError):
        return f"<{type(given).__name__}>"


def _opened(source: object, columns: Columns) -> Iterable[object]:
    if isinstance(source, (str, ObjectStoragePath, os.PathLike)):
        return ItemFile(str(source), columns)
    if ItemTable.is_one(source):
        return ItemTable(source, columns)
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise invalid(
            "items",
            source,
            f"a list of prompts and dicts is needed, a DataFrame, or a file ending {', '.join(ENDINGS)}",
        )
    # Results of mapped tasks come as a sequence that asks the API server for each, each time.
    return list(source)
