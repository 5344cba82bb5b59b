"""Stores images: fetches each to a temporary file, checks it, and puts it under its final name."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.client import fetch
from airflow_provider_gptimg.api.download import Download, download
from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.image_formats import measured
from airflow_provider_gptimg.api.models import Pixels
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.files.cache import Entry, Slot
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.result import Asked, Image, MadeBy, StoredImage

log = logging.getLogger(__name__)

PAUSES = (0.5, 2.0)
"""Seconds before an image is fetched again. After the last one, only a retry of the task helps."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Storage:
    """Where a task's images go.

    :param folder: a path or URI, see :class:`~airflow_provider_gptimg.files.place.Place`; None stores only in
        the cache.
    :param names: the names of its files, the same in every repeat.
    :param size: the promised width and height in pixels; None if none is promised.
    :param decode: decode every picture completely. This needs Pillow (extra ``verify``).
    :param slot: the images' place in the cache, if there is a cache.
    """

    folder: str | os.PathLike[str] | ObjectStoragePath | None
    names: FileNames
    settings: Settings
    size: Pixels | None
    decode: bool = False
    slot: Slot | None = None
    _not_entered: set[int] = field(default_factory=set)

    @property
    def place(self) -> Place | None:
        """The folder; None to store only in the cache."""
        return None if self.folder is None else Place.of(self.folder)

    def store(self, index: int, url: str) -> StoredImage:
        """Fetch one image and store it.

        :raises ApiError: EXPIRED, DOWNLOAD, STORAGE. Then nothing is stored under the final name.
        """
        with tempfile.TemporaryDirectory(prefix="gptimg-") as scratch:
            local = Path(scratch) / "image"
            fetched = self._fetch(url, local)
            width, height = self._measured(local)
            if self.decode:
                _decode(local)
            # Stores that keep a content type derive it from this name.
            local = local.rename(local.with_suffix(f".{fetched.format}"))
            image = StoredImage(
                index=index,
                url=url,
                uri="",
                sha256=fetched.sha256,
                bytes=fetched.bytes,
                width=width,
                height=height,
                format=fetched.format,
            )
            target = self._target(image)
            try:
                target.put(local)
            except Exception as error:
                raise ApiError(
                    Kind.STORAGE,
                    f"The image could not be stored at {target}: {type(error).__name__}: {error}.",
                ) from error
            self._own(image, local)
        return {**image, "uri": str(target)}

    def enter(self, images: Sequence[Image], asked: Asked, made_by: MadeBy) -> Entry | None:
        """Add stored images to the cache, if there is one. A failure is only logged.

        :param asked: the entry's description of the request, for people.
        :param made_by: the task that made them.
        """
        if self.slot is None or self._not_entered:
            return None
        try:
            return self.slot.complete(cast("Sequence[StoredImage]", images), asked, made_by)
        except Exception as error:  # noqa: BLE001 - whatever a storage raises
            self._warn(error)
            return None

    def _target(self, image: StoredImage) -> Place:
        if self.place is not None:
            return self.place / self.names.name(image["index"], image["format"])
        if self.slot is None:
            raise ValueError("there is neither a folder nor a cache to store images in")
        return self.slot.place_of(image)

    def _own(self, image: StoredImage, local: Path) -> None:
        if self.slot is None or self.folder is None:
            return
        try:
            self.slot.place_of(image).put(local)
        except Exception as error:  # noqa: BLE001 - whatever a storage raises
            self._not_entered.add(image["index"])
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        log.warning(
            "The images of generation %s are not in the cache (%s: %s). The next run pays for them again.",
            self.slot and self.slot.generation_id,
            type(error).__name__,
            error,
        )

    def _fetch(self, url: str, local: Path) -> Download:
        for pause in (*PAUSES, None):
            try:
                with local.open("w+b") as file:
                    return download(partial(fetch, self.settings), url, self.settings, file)
            except OSError as error:
                raise ApiError(
                    Kind.STORAGE, f"There is no space for a temporary copy of the image: {error}."
                ) from error
            except ApiError as error:
                if error.kind is Kind.EXPIRED:
                    raise
                if pause is None:
                    raise ApiError(Kind.DOWNLOAD, error.message) from error
            time.sleep(pause)
        raise AssertionError

    def _measured(self, local: Path) -> Pixels:
        with local.open("rb") as file:
            found = measured(file)
        if found is None:
            raise ApiError(Kind.DOWNLOAD, "The image's size cannot be read from its header.")
        width, height = found.stored
        if self.size is not None and not found.is_shown_as(self.size):
            promised = f"{self.size[0]}x{self.size[1]}"
            raise ApiError(
                Kind.DOWNLOAD, f"The image has {width}x{height} pixels, but {promised} was requested."
            )
        return width, height


def check_folder(folder: object, field: str = "output_path") -> Place:
    """Return the place of an output path, after checking it as far as possible without a call.

    :param folder: a text, ``Path`` or ``ObjectStoragePath``.
    :param field: the parameter's name, for messages.
    :raises ApiError: kind INVALID.
    """
    if not isinstance(folder, (str, os.PathLike, ObjectStoragePath)) or str(folder).strip() in ("", "None"):
        raise invalid(field, folder, "a folder is needed, such as s3://bucket/images or /data/images")
    text = str(folder)
    if "://" not in text and not text.startswith("/"):
        raise invalid(
            field, text, "an absolute path or a URI is needed: each worker has its own working directory"
        )
    if _CONTROL.search(text):
        raise invalid(field, text, "it contains a line break or another control character")
    try:
        place = Place.of(folder)
        place.fs  # noqa: B018 - opens it
    except Exception as error:  # noqa: BLE001 - a storage may raise anything
        raise invalid(field, text, f"it cannot be opened ({type(error).__name__}: {error})") from None
    return place


def check_names(folder: Place, names: FileNames, images: int) -> None:
    """Check that images can be stored under their names, as far as possible without a call.

    :param images: the number of images.
    :raises ApiError: kind INVALID.
    """
    target = folder / names.longest(images)
    try:
        target.check_name()
    except ValueError as error:
        raise invalid("file_name", str(target), f"nothing can be stored under this name: {error}") from None


def check_decoder() -> None:
    """Make sure that pictures can be decoded.

    :raises ApiError: kind INVALID if Pillow is not installed.
    """
    if importlib.util.find_spec("PIL") is None:
        raise invalid("verify_images", True, "it needs Pillow: pip install 'airflow-provider-gptimg[verify]'")


def _decode(local: Path) -> None:
    from PIL import Image

    try:
        with Image.open(local) as image:
            image.load()
    except Exception as error:
        raise ApiError(
            Kind.DOWNLOAD, f"The image cannot be decoded ({type(error).__name__}: {error})."
        ) from error
