"""The names of stored images, from a pattern that gives the same names in every repeat."""

from __future__ import annotations

import hashlib
import json
import re
import string
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.files.place import MAX_NAME_BYTES

FIELDS = ("task_id", "map_index", "identity", "item", "id", "index", "format")
"""The fields that a pattern may name in braces."""

_OF_AN_ITEM = ("item", "id", "identity")
"""The fields that differ between the items of a batch."""

_ID_BYTES = 80
"""Most bytes of an item's id in a name."""

_LONGEST_FORMAT = "jpeg"
_UNSAFE = re.compile(r"[^\w.-]+")
_UNSAFE_IN_AN_ID = re.compile(r"^\.+|[^\w.-]+")
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class FileNames:
    """The names of a task instance's images.

    :param pattern: a name below the folder, with ``{index}`` (0, 1, …), ``{format}`` (png, …),
        ``{identity}``, ``{task_id}``, ``{map_index}`` and, in a batch, ``{item}``.
    :param identity: differs between task instances, series of attempts and requests.
    """

    pattern: str
    is_indexed: bool
    task_id: str
    map_index: int
    identity: str
    item: int = 0
    item_id: str = ""

    @classmethod
    def of(
        cls, pattern: object, ti: Any, digest: str, *, item: int | None = None, item_id: object = None
    ) -> FileNames:
        """Return the names for a task instance's images.

        :param pattern: None for ``{task_id}-{identity}-{index}.{format}``, with the map index of a
            mapped task and the id of an item in between. If ``{format}`` is missing, it is appended as the
            extension. If ``{index}`` is missing, it is added from the second image on.
        :param digest: the digest of the identity.
        :param item: the index of a batch's item, None outside batches.
        :param item_id: the id of a batch's item, None if it has none.
        :raises ApiError: INVALID if two items would share a name, or a name would leave the folder.
        """
        is_mapped = ti.map_index >= 0
        if pattern is None:
            parts = ["{task_id}", "{map_index}", "{id}", "{identity}", "{index}"]
            left_out = {"{map_index}": not is_mapped, "{id}": item_id is None}
            pattern = "-".join(part for part in parts if not left_out.get(part))
        named = fields_of(pattern)
        if item is not None and not named & set(_OF_AN_ITEM):
            raise invalid("file_name", pattern, "in a batch it must contain {item}, {id} or {identity}")
        if item is None and "id" in named:
            raise invalid("file_name", pattern, "only the items of a batch have an {id}")
        whole = str(pattern) if "format" in named else f"{pattern}.{{format}}"
        task_id = _UNSAFE.sub("_", ti.task_id)
        names = cls(whole, "index" in named, task_id, ti.map_index, digest[:12], item or 0, _safe_id(item_id))
        if "task_id" in named:
            over = max(len(part.encode()) for part in names.longest().split("/")) - MAX_NAME_BYTES
            names = replace(names, task_id=shortened(task_id, len(task_id.encode()) - max(0, over)))
        name = names.name(0, "png")
        if _NOT_IN_A_NAME.search(name) or any(part in ("", ".", "..") for part in name.split("/")):
            raise invalid(
                "file_name", pattern, f"a name below output_path is needed, but this gives {name!r}"
            )
        return names

    def longest(self, images: int = 10) -> str:
        """Return the longest name that this number of images can get, in any format."""
        return self.name(images - 1, _LONGEST_FORMAT)

    def check_mapped(self, ti: Any) -> None:
        """Check that instances of a mapped task do not share names, if they share the pattern.

        :raises ApiError: INVALID.
        """
        if ti.map_index >= 0 and not {"map_index", "identity"} & fields_of(self.pattern):
            raise invalid(
                "file_name", self.pattern, "in a mapped task it must contain {map_index} or {identity}"
            )

    def check_loop(self) -> None:
        """Check that iterations of a task loop do not share names, if they share the pattern.

        :raises ApiError: INVALID.
        """
        if "identity" not in fields_of(self.pattern):
            raise invalid(
                "file_name", self.pattern, "in a task loop it must contain {identity} or {{ loop.index }}"
            )

    def name(self, index: int, image_format: str) -> str:
        """Return the name of the image with this index in the result."""
        name = self.pattern.format(
            task_id=self.task_id,
            map_index=self.map_index,
            identity=self.identity,
            item=self.item,
            id=self.item_id,
            index=index,
            format=image_format,
        )
        if index == 0 or self.is_indexed:
            return name
        stem, dot, ending = name.rpartition(".")
        return f"{stem}-{index}{dot}{ending}"


def shortened(name: str, most: int) -> str:
    """Return a name of at most ``most`` bytes of UTF-8: itself, or its start and a hash of the whole."""
    content = name.encode()
    if len(content) <= most:
        return name
    digest = f"~{hashlib.sha256(content).hexdigest()[:12]}"
    return content[: max(0, most - len(digest))].decode(errors="ignore") + digest


def fields_of(pattern: object) -> set[str]:
    """Return the fields that a pattern names.

    :raises ApiError: INVALID if it is not a pattern.
    """
    if not isinstance(pattern, str) or not pattern.strip():
        raise invalid("file_name", pattern, "a string is needed, such as 'cover-{index}.{format}'")
    try:
        parts = list(string.Formatter().parse(pattern))
        pattern.format(**dict.fromkeys(FIELDS, 0))
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise invalid(
            "file_name",
            pattern,
            f"only these names may be in braces: {', '.join(FIELDS)} ({type(error).__name__}: {error})",
        ) from None
    named = {field for _, field, _, _ in parts if field is not None}
    if not named <= set(FIELDS):  # such as {index.real}
        raise invalid("file_name", pattern, f"only these names may be in braces: {', '.join(FIELDS)}")
    return named


def _safe_id(item_id: object) -> str:
    """Return an item's id in a form that is safe in a name. No other id gives the same text."""
    given = "" if item_id is None else str(item_id)
    safe = _UNSAFE_IN_AN_ID.sub("_", unicodedata.normalize("NFC", given))
    safe = safe.encode()[:_ID_BYTES].decode(errors="ignore")
    if safe == given:
        return safe
    return f"{safe}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"
