"""The items of a batch: read one after the other from wherever they are, checked, each with an identity."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.files.references import reference_texts, references
from airflow_provider_gptimg.result import PROMPT_CHARACTERS, TEXT_OF_A_VALUE

FIELDS = ("prompt", "size", "resolution", "n", "model", "reference_images", "extra_body")
"""What an item may say of its request; the batch's own values stand in for what it does not say."""

ENDINGS = (".jsonl", ".ndjson", ".csv")

_SHOWN = 5
"""So many bad items are named in one message."""


@dataclass(frozen=True)
class Item:
    """One item: a request under an identity of its own.

    :param index: its place in the batch, from 0.
    :param id: the author's own name for it, handed on as it is if JSON can say it, else as text.
    :param fields: what is asked for, with the batch's values filled in.
    :param digest: the identity, hexadecimal, 160 bits: of the batch, of everything asked for, and of how
        many such items came before. So it does not depend on the item's place.
    :param problem: why it cannot be asked for.
    """

    index: int
    id: Any
    fields: Mapping[str, Any]
    digest: str
    problem: ApiError | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """What a journal keeps of the request, for those who look on before there is a manifest."""
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

        :param with_files: False leaves out reference images that are files, which takes no call to a storage.
        :raises ApiError: INVALID, EXPIRED, REFERENCE.
        """
        fields = dict(self.fields)
        prompt, images = fields.pop("prompt", None), fields.pop("reference_images", None)
        if not with_files and images is not None:
            images = [image for image in images if image.lower().startswith(("http://", "https://"))]
        return GenerationRequest.checked(prompt, **fields, reference_images=references(images))


class Items:
    """All items of a batch; iterating reads them anew.

    :param source: prompts and dicts, or the path or URI of a JSONL or CSV file of them.
    :param defaults: the batch's own values.
    :param identity: the batch's, which goes into each item's.
    """

    def __init__(self, source: object, defaults: Mapping[str, Any], identity: str) -> None:
        self._source = source
        self._defaults = defaults
        self._identity = identity

    def __iter__(self) -> Iterator[Item]:
        seen: Counter[bytes] = Counter()
        for index, given in enumerate(_read(self._source)):
            try:
                name, fields = self._fields(given)
                text, problem = _canonical(fields), None
            except ApiError as error:
                name, fields, problem = None, {"prompt": _shown(given)}, error
                text = _canonical(fields)
            sent = hashlib.sha256(text.encode()).digest()
            made_of = f"{self._identity}\0{sent.hex()}\0{seen[sent]}"
            seen[sent] += 1
            digest = hashlib.sha256(made_of.encode()).hexdigest()[:40]
            yield Item(index, name, fields, digest, problem)

    def check(self) -> tuple[int, list[tuple[int, ApiError]]]:
        """Return how many items there are, and the index and error of each that cannot be asked for.

        Nothing is sent, and no reference image is read.

        :raises ApiError: INVALID if the items cannot be read, or there are none.
        """
        total, problems = 0, []
        for item in self:
            total += 1
            try:
                if item.problem is not None:
                    raise item.problem
                item.request(with_files=False)
            except ApiError as error:
                problems.append((item.index, error))
        if total == 0:
            raise invalid("items", self._source, "there is no item")
        return total, problems

    def _fields(self, given: object) -> tuple[Any, dict[str, Any]]:
        if isinstance(given, str):
            given = {"prompt": given}
        if not isinstance(given, Mapping):
            raise invalid("items", given, "a prompt or a dict of request fields is needed")
        unknown = [name for name in given if name not in (*FIELDS, "id")]
        if unknown:
            raise invalid("items", dict(given), f"{unknown[0]!r} is none of {', '.join(FIELDS)}, id")
        own = {name: value for name, value in given.items() if name != "id" and value is not None}
        fields = {**self._defaults, **own}
        if fields.get("reference_images") is not None:
            fields["reference_images"] = reference_texts(fields["reference_images"])
        name = given.get("id")
        return name if name is None or isinstance(name, (str, int, float)) else str(name), fields


def refusal(total: int, problems: list[tuple[int, ApiError]]) -> ApiError:
    """Return the error for items that cannot be asked for."""
    named = "; ".join(f"item {index}: {error.message}" for index, error in problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return ApiError(
        Kind.INVALID, f"{len(problems)} of {total} items are not allowed: {named}{more}", field="items"
    )


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


def _read(source: object) -> Iterable[object]:
    if isinstance(source, (ObjectStoragePath, os.PathLike)):
        source = str(source)
    if isinstance(source, str):
        return _read_file(source)
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise invalid(
            "items", source, f"a list of prompts and dicts is needed, or a file ending {', '.join(ENDINGS)}"
        )
    return source


def _read_file(where: str) -> Iterator[object]:
    if where.lstrip()[:1] in ("[", "{", "("):
        raise invalid("items", where, TEXT_OF_A_VALUE)
    if not where.lower().endswith(ENDINGS):
        raise invalid("items", where, f"the path of a file is needed, ending {', '.join(ENDINGS)}")
    read = _read_csv if where.lower().endswith(".csv") else _read_jsonl
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with ObjectStoragePath(where).open("r", encoding="utf-8-sig", newline="") as lines:  # type: ignore[no-untyped-call]
            # Line by line: what Airflow 3.0 opens cannot be iterated over.
            yield from read(where, iter(lines.readline, ""))
    except ApiError:
        raise
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid("items", where, f"it cannot be read ({error})") from None
    except Exception as error:
        raise ApiError(
            Kind.STORAGE, f"The items {where} cannot be read ({type(error).__name__}: {error})."
        ) from error


def _read_jsonl(where: str, lines: Iterable[str]) -> Iterator[object]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise invalid("items", where, f"line {number} is not JSON ({error})") from None


def _read_csv(where: str, lines: Iterable[str]) -> Iterator[object]:
    rows = csv.DictReader(lines)
    for row in rows:
        if None in row or None in row.values():
            raise invalid("items", where, f"line {rows.line_num} has not as many cells as the first line")
        yield {name.strip(): _cell(name.strip(), cell) for name, cell in row.items() if cell.strip()}


def _cell(name: str, cell: str) -> object:
    """Return the value that a text stands for in its column."""
    is_json = name in ("n", "extra_body") or (name == "reference_images" and cell.lstrip().startswith("["))
    if not is_json:
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell  # refused by the check of its field, which names it
