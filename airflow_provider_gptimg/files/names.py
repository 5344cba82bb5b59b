"""How stored images are called: by a pattern that every repeat fills in the same way."""

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
"""What a pattern may name in braces."""

_OF_AN_ITEM = ("item", "id", "identity")
"""What tells the items of a batch apart."""

_ID_BYTES = 80
"""Maximum bytes of an item's id in a name."""

_LONGEST_FORMAT = "jpeg"
_UNSAFE = re.compile(r"[^\w.-]+")
_UNSAFE_IN_AN_ID = re.compile(r"^\.+|[^\w.-]+")
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class FileNames:
    """The names of a task instance's images.

    :param pattern: a name below the folder, with ``{index}`` (0, 1, …), ``{format}`` (png, …),
        ``{identity}``, ``{task_id}``, ``{map_index}`` and, in a batch, ``{item}`` in it.
    :param identity: tells task instances, series of attempts and requests apart.
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
            mapped task and the id of an item in between. A pattern without ``{format}`` gets that as its
            ending; one without ``{index}`` gets it from the second image on.
        :param digest: of the identity.
        :param item: the index of a batch's item, None for a task that makes only one.
        :param item_id: the id of a batch's item, None where it has none.
        :raises ApiError: INVALID for a pattern that two items would share, or that leads elsewhere.
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
            raise invalid("file_name", pattern, f"a name below output_path is needed, this gives {name!r}")
        return names

    def longest(self, images: int = 10) -> str:
        """Return the longest name among this number of images, whatever their format."""
        return self.name(images - 1, _LONGEST_FORMAT)

    def check_mapped(self, ti: Any) -> None:
        """Check that no two of a mapped task's instances share a name, where the pattern was written for all.

        :raises ApiError: INVALID.
        """
        if ti.map_index >= 0 and not {"map_index", "identity"} & fields_of(self.pattern):
            raise invalid(
                "file_name", self.pattern, "in a mapped task it must contain {map_index} or {identity}"
            )

    def check_loop(self) -> None:
        """Check that no two iterations of a task loop share a name, where the pattern was written for all.

        :raises ApiError: INVALID.
        """
        if "identity" not in fields_of(self.pattern):
            raise invalid(
                "file_name", self.pattern, "in a task loop it must contain {identity} or {{ loop.index }}"
            )

    def name(self, index: int, image_format: str) -> str:
        """Return the name of the image at an index of the result."""
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
    """Return a name in at most so many bytes of UTF-8: itself, or its beginning and a hash of all of it."""
    content = name.encode()
    if len(content) <= most:
        return name
    digest = f"~{hashlib.sha256(content).hexdigest()[:12]}"
    return content[: max(0, most - len(digest))].decode(errors="ignore") + digest


def fields_of(pattern: object) -> set[str]:
    """Return the fields that a pattern names.

    :raises ApiError: INVALID for what is no pattern.
    """
    if not isinstance(pattern, str) or not pattern.strip():
        raise invalid("file_name", pattern, "a text is needed, such as 'cover-{index}.{format}'")
    try:
        parts = list(string.Formatter().parse(pattern))
        pattern.format(**dict.fromkeys(FIELDS, 0))
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise invalid(
            "file_name", pattern, f"in braces only {', '.join(FIELDS)} ({type(error).__name__}: {error})"
        ) from None
    named = {field for _, field, _, _ in parts if field is not None}
    if not named <= set(FIELDS):  # such as {index.real}
        raise invalid("file_name", pattern, f"in braces only {', '.join(FIELDS)}")
    return named


def _safe_id(item_id: object) -> str:
    """Return an item's id as a part of a name that no other id gives."""
    given = "" if item_id is None else str(item_id)
    safe = _UNSAFE_IN_AN_ID.sub("_", unicodedata.normalize("NFC", given))
    safe = safe.encode()[:_ID_BYTES].decode(errors="ignore")
    if safe == given:
        return safe
    return f"{safe}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"
