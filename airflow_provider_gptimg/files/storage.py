"""Storing images: fetched to a temporary file, checked, then put under their final name."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.client import fetch
from airflow_provider_gptimg.api.download import Download, download
from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.image_formats import measured
from airflow_provider_gptimg.api.models import Pixels
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.result import StoredImage

PAUSES = (0.5, 2.0)
"""Seconds before an image is fetched again; after that the task's own retries have to help."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Storage:
    """Where a task's images go.

    :param folder: a path or URI, see :class:`~airflow_provider_gptimg.files.place.Place`.
    :param names: what its files are called; the same for every repeat.
    :param size: width and height in pixels that were promised, None where nothing is.
    :param decode: decode every picture completely, which needs Pillow (extra ``verify``).
    """

    folder: str | os.PathLike[str] | ObjectStoragePath
    names: FileNames
    settings: Settings
    size: Pixels | None
    decode: bool = False

    def store(self, index: int, url: str) -> StoredImage:
        """Fetch one image and store it.

        :raises ApiError: EXPIRED, DOWNLOAD, STORAGE. Nothing is left under the final name.
        """
        with tempfile.TemporaryDirectory(prefix="gptimg-") as scratch:
            local = Path(scratch) / "image"
            fetched = self._fetch(url, local)
            width, height = self._measured(local)
            if self.decode:
                _decode(local)
            # Stores that keep a content type read it off this name.
            local = local.rename(local.with_suffix(f".{fetched.format}"))
            target = Place.of(self.folder) / self.names.name(index, fetched.format)
            try:
                target.put(local)
            except Exception as error:
                raise ApiError(
                    Kind.STORAGE,
                    f"The image could not be stored at {target}: {type(error).__name__}: {error}.",
                ) from error
        return StoredImage(
            index=index,
            url=url,
            uri=str(target),
            sha256=fetched.sha256,
            bytes=fetched.bytes,
            width=width,
            height=height,
            format=fetched.format,
        )

    def _fetch(self, url: str, local: Path) -> Download:
        for pause in (*PAUSES, None):
            try:
                with local.open("w+b") as file:
                    return download(partial(fetch, self.settings), url, self.settings, file)
            except OSError as error:
                raise ApiError(
                    Kind.STORAGE, f"No room for a temporary copy of the image: {error}."
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
                Kind.DOWNLOAD, f"The image has {width}x{height} pixels, {promised} were asked for."
            )
        return width, height


def check_folder(folder: object) -> Place:
    """Return the place of an output path that may be stored to, as far as that shows without a call.

    :param folder: a text, ``Path`` or ``ObjectStoragePath``.
    :raises ApiError: kind INVALID.
    """
    if not isinstance(folder, (str, os.PathLike, ObjectStoragePath)) or str(folder).strip() in ("", "None"):
        raise invalid("output_path", folder, "a folder is needed, such as s3://bucket/images or /data/images")
    text = str(folder)
    if "://" not in text and not text.startswith("/"):
        raise invalid(
            "output_path", text, "an absolute path or a URI is needed: each worker has a directory of its own"
        )
    if _CONTROL.search(text):
        raise invalid("output_path", text, "it has a line break or another control character in it")
    try:
        place = Place.of(folder)
        place.fs  # noqa: B018 - opens it
    except Exception as error:  # noqa: BLE001 - whatever the storage of a URI raises
        raise invalid("output_path", text, f"it cannot be opened ({type(error).__name__}: {error})") from None
    return place


def check_names(folder: Place, names: FileNames, images: int) -> None:
    """Make sure that images can be stored under their names, as far as that shows without a call.

    :param images: how many there are to be.
    :raises ApiError: kind INVALID.
    """
    target = folder / names.longest(images)
    try:
        target.check_name()
    except ValueError as error:
        raise invalid("file_name", str(target), f"nothing can be stored under this name: {error}") from None


def check_decoder() -> None:
    """Make sure that pictures can be decoded.

    :raises ApiError: kind INVALID where Pillow is not installed.
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
