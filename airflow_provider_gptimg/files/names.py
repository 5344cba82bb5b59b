"""How stored images are called: by a pattern that every repeat fills in the same way."""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.files.place import MAX_NAME_BYTES

FIELDS = ("task_id", "map_index", "identity", "item", "index", "format")
"""What a pattern may name in braces."""

_LONGEST_FORMAT = "jpeg"
_UNSAFE = re.compile(r"[^\w.-]+")
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

    @classmethod
    def of(cls, pattern: object, ti: Any, digest: str, *, item: int | None = None) -> FileNames:
        """Return the names for a task instance's images.

        :param pattern: None for ``{task_id}-{identity}-{index}.{format}``, with the map index of a
            mapped task in between. A pattern without ``{format}`` gets that as its ending; one without
            ``{index}`` gets it from the second image on.
        :param digest: of the identity.
        :param item: the index of a batch's item, None for a task that makes only one.
        :raises ApiError: INVALID for a pattern that two items would share, or that leads elsewhere.
        """
        is_mapped = ti.map_index >= 0
        if pattern is None:
            pattern = (
                "{task_id}-{map_index}-{identity}-{index}" if is_mapped else "{task_id}-{identity}-{index}"
            )
        named = _fields(pattern)
        if item is not None and not {"item", "identity"} & named:
            raise invalid("file_name", pattern, "in a batch it must contain {item} or {identity}")
        whole = str(pattern) if "format" in named else f"{pattern}.{{format}}"
        task_id = _UNSAFE.sub("_", ti.task_id)
        names = cls(whole, "index" in named, task_id, ti.map_index, digest[:12], item or 0)
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
        if ti.map_index >= 0 and not {"map_index", "identity"} & _fields(self.pattern):
            raise invalid(
                "file_name", self.pattern, "in a mapped task it must contain {map_index} or {identity}"
            )

    def name(self, index: int, image_format: str) -> str:
        """Return the name of the image at an index of the result."""
        name = self.pattern.format(
            task_id=self.task_id,
            map_index=self.map_index,
            identity=self.identity,
            item=self.item,
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


def _fields(pattern: object) -> set[str]:
    """Return the fields that a pattern names."""
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
