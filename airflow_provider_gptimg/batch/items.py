"""The items of a batch: read one by one from their source, checked, each with an identity."""

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

from airflow_provider_gptimg.api.errors import ApiError, invalid
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.batch.columns import Columns, Record, no_prompt
from airflow_provider_gptimg.batch.item_files import ENDINGS, ItemFile
from airflow_provider_gptimg.batch.item_tables import ItemTable
from airflow_provider_gptimg.batch.json_lines import plain_json
from airflow_provider_gptimg.files.references import reference_texts, references
from airflow_provider_gptimg.result import PROMPT_CHARACTERS
from airflow_provider_gptimg.tasks.nothing import TEXTS_OF_NOTHING

_LABEL = 80
"""Maximum number of characters of an id in a message."""


@dataclass(frozen=True)
class Item:
    """One item: a request with its own identity.

    :param index: its position in the batch, from 0.
    :param id: the author's own name for it, passed on unchanged if JSON can express it, else as text.
    :param fields: the requested values, with the batch's defaults filled in.
    :param digest: the identity, hexadecimal, 160 bits. It is a hash of the batch, of all requested values,
        and of the item's id, or without an id of the number of equal items before it. So it does not depend
        on the item's position.
    :param problem: why it cannot be requested.
    :param row: the author's other values for it, as plain JSON; they are only passed on.
    :param check_sizes: False leaves size and resolution to the service.
    """

    index: int
    id: Any
    fields: Mapping[str, Any]
    digest: str
    problem: ApiError | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    check_sizes: bool = True

    @property
    def label(self) -> str:
        """Its name in messages: ``item 'sku-7'``, or ``item 3`` if it has no id."""
        return label_of(self.index, self.id)

    @property
    def shown(self) -> dict[str, Any]:
        """The part of the request that the journal keeps, for viewers before there is a manifest."""
        names = ("model", "size", "resolution")
        prompt = str(self.fields.get("prompt"))[:PROMPT_CHARACTERS]
        return {
            "index": self.index,
            "id": self.id,
            "prompt": prompt,
            **{name: self.fields.get(name) for name in names},
        }

    def request(self, *, with_files: bool = True) -> GenerationRequest:
        """Return the request, checked.

        :param with_files: False leaves out reference images that are files, and so makes no call to a
            storage.
        :raises ApiError: INVALID, EXPIRED, REFERENCE.
        """
        fields = dict(self.fields)
        prompt, images = fields.pop("prompt", None), fields.pop("reference_images", None)
        if not with_files and images is not None:
            images = [image for image in images if image.lower().startswith(("http://", "https://"))]
        return GenerationRequest.checked(
            prompt, **fields, reference_images=references(images), check_sizes=self.check_sizes
        )


class Items:
    """All items of a batch; iterating reads them again.

    :param source: prompts and dicts, a DataFrame, or the path or URI of a file of JSON lines or CSV.
    :param defaults: the batch's own values.
    :param identity: the batch's identity, a part of each item's.
    :param columns: the meaning of columns and keys.
    :param needs_ids: whether every item needs an id, because files are named by it.
    :param check_sizes: False leaves sizes and resolutions to the service.
    :raises ApiError: INVALID if the source is none of these.
    """

    def __init__(
        self,
        source: object,
        defaults: Mapping[str, Any],
        identity: str,
        columns: Columns,
        *,
        needs_ids: bool = False,
        check_sizes: bool = True,
    ) -> None:
        self.source = _opened(source, columns)
        self._defaults = defaults
        self._identity = identity
        self._columns = columns
        self._needs_ids = needs_ids
        self._check_sizes = check_sizes

    def __iter__(self) -> Iterator[Item]:
        seen: Counter[bytes] = Counter()
        for index, given in enumerate(self.source):
            yield self._item(index, given, seen)

    @property
    def skipped(self) -> int:
        """How many rows were empty when they were last read."""
        return self.source.skipped if isinstance(self.source, (ItemFile, ItemTable)) else 0

    def _item(self, index: int, given: object, seen: Counter[bytes]) -> Item:
        name, row = None, dict[str, Any]()
        try:
            said, row = self._said(given)
            name = _name(said.pop("id", None))
            if name is None and self._needs_ids:
                raise invalid("id", None, "file_name contains {id}, so every item needs an id")
            fields = self._fields(given, said)
            text, problem = canonical(fields), None
        except ApiError as error:
            fields, problem = {"prompt": _shown(given)}, error
            text = canonical(fields)
        sent = hashlib.sha256(text.encode()).digest()
        if name is None:
            which = str(seen[sent])
            seen[sent] += 1
        else:
            which = f"id\0{json.dumps(str(name))}"
        made_of = f"{self._identity}\0{sent.hex()}\0{which}"
        digest = hashlib.sha256(made_of.encode()).hexdigest()[:40]
        return Item(index, name, fields, digest, problem, row, self._check_sizes)

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
        _check_said(said, is_record=isinstance(given, Record))
        own = {name: value for name, value in said.items() if value is not None}
        if isinstance(given, Record) and isinstance(own.get("n"), float) and own["n"].is_integer():
            own["n"] = int(own["n"])  # an empty cell makes all numbers of a table's column floats
        fields = {**self._defaults, **own}
        if fields.get("reference_images") is not None:
            fields["reference_images"] = reference_texts(fields["reference_images"])
        return fields


def _check_said(said: Mapping[str, Any], *, is_record: bool) -> None:
    """Check that no value is empty that the author cannot have wanted to leave out.

    :param is_record: whether it is a row of a file or table, where an empty cell leaves a value out.
    :raises ApiError: INVALID.
    """
    prompt = said.get("prompt")
    if prompt is None and is_record:
        raise invalid("prompt", prompt, "it must not be empty")
    if isinstance(prompt, str) and prompt.strip() in TEXTS_OF_NOTHING:
        raise invalid("prompt", prompt, "it is the text of a missing value")
    if "reference_images" in said and said["reference_images"] is None and not is_record:
        raise invalid(
            "reference_images",
            None,
            "it came out empty; for an item without reference images, leave out the key, or give an empty "
            "list",
        )


def label_of(index: int, name: object) -> str:
    """Return an item's name in messages. Its id is None if it has none."""
    if name is None:
        return f"item {index}"
    shown = repr(str(name))
    return f"item {shown if len(shown) <= _LABEL else f'{shown[:_LABEL]}…'}"


def _name(given: object) -> Any:
    """Return an item's own name as a JSON value, None if it has none."""
    if isinstance(given, float):
        if math.isnan(given):
            return None
        return int(given) if given.is_integer() else str(given)
    if given is None or isinstance(given, int):
        return given
    name = str(given).strip()
    if "\0" in name:
        raise invalid("id", name, "not every database can store the character NUL")
    return name or None


def canonical(fields: Mapping[str, Any]) -> str:
    """Return the same text for the same fields; a value that JSON cannot express is refused later."""
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
            "a list of prompts and dicts, a DataFrame, or a file is needed; the file's name ends in one of "
            f"{', '.join(ENDINGS)}",
        )
    # Results of mapped tasks come as a sequence that asks the API server for every element, each time it is
    # read.
    return list(source)
