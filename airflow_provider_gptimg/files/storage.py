"""Storing images: fetched to a temporary file, checked, then moved under their final name."""

from __future__ import annotations

import importlib.util
import shutil
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
from airflow_provider_gptimg.compat.imports import has_fs
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.result import StoredImage

PAUSES = (0.5, 2.0)
"""Seconds before an image is fetched again; after that the task's own retries have to help."""

OBJECT_STORES = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "wasbs", "oss"))
"""Schemes of stores that need no folders made; asked to, they would make a bucket of a mistyped name."""


@dataclass(frozen=True)
class Storage:
    """Where a task's images go.

    :param folder: a path or URI that ``ObjectStoragePath`` opens.
    :param names: what its files are called; the same for every repeat.
    :param size: width and height in pixels that were promised, None where nothing is.
    :param decode: decode every picture completely, which needs Pillow (extra ``verify``).
    """

    folder: str
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
            name = self.names.name(index, fetched.format)
            try:
                target = ObjectStoragePath(self.folder) / name
                move(local, target)
            except Exception as error:
                raise ApiError(
                    Kind.STORAGE,
                    f"The image could not be stored at {self.folder.rstrip('/')}/{name}: "
                    f"{type(error).__name__}: {error}.",
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


def check_folder(folder: object) -> str:
    """Return an output path that may be stored to, as far as that shows without a call.

    :raises ApiError: kind INVALID.
    """
    if not isinstance(folder, str) or not folder.strip() or folder.strip() == "None":
        raise invalid("output_path", folder, "a folder is needed, such as s3://bucket/images or /data/images")
    if "://" not in folder and not folder.startswith("/"):
        raise invalid(
            "output_path",
            folder,
            "an absolute path or a URI is needed: each worker has a directory of its own",
        )
    try:
        path = ObjectStoragePath(folder)
        if path.protocol and not has_fs(path.protocol):  # Airflow 3.0 makes the path all the same
            raise ValueError(f"no filesystem for {path.protocol}://")
    except Exception as error:  # noqa: BLE001 - whatever the storage of a URI raises
        raise invalid(
            "output_path", folder, f"it cannot be opened ({type(error).__name__}: {error})"
        ) from None
    return folder


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


def move(local: Path, target: ObjectStoragePath) -> None:
    """Put a file under its final name at once, whole: a reader never sees half of it."""
    if target.protocol not in OBJECT_STORES:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # into which a move would put the file
            raise IsADirectoryError(f"{target} is a folder")
    # Always the same name, so that a repeat overwrites what a killed attempt left.
    part = target.parent / f".{target.name}.part"
    try:
        with local.open("rb") as source, part.open("wb") as copy:  # type: ignore[no-untyped-call]
            shutil.copyfileobj(source, copy, 1024 * 1024)
        part.fs.mv(part.path, target.path)
    except BaseException:
        if part.exists():
            part.unlink()
        raise
