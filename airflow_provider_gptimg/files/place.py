"""Where a file or folder is, and the calls to its storage. Names are always taken literally.

``ObjectStoragePath`` and fsspec read more into a name than is there: ``?``, ``*`` and ``[`` match
other files in their ``mv``, ``rm``, ``unlink`` and ``glob``, ``::`` chains file systems, and a ``?`` at
the end of a URI is cut off. So the URI is taken apart here, and only those methods of a file system are
called that take a name literally: ``open``, ``put_file``, ``cp_file``, ``rm_file``, ``ls``, ``isdir``,
``makedirs``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pendulum
from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.image_formats import START_BYTES, format_of
from airflow_provider_gptimg.compat.imports import has_fs

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 255
"""Most bytes of a file's name in UTF-8 that all usual file systems accept."""

MAX_KEY_BYTES = 1024
"""Most bytes of an object's key in UTF-8 that all usual object stores accept."""

_AZURE = frozenset(("abfs", "abfss", "adl", "az", "wasb", "wasbs"))
OBJECT_STORES = frozenset(("s3", "s3a", "s3n", "gs", "gcs", "oss", *_AZURE))
"""Schemes of stores where a PUT is atomic and no folders are needed. Asked to make a folder, they would
create a bucket for a mistyped name."""

_CHUNK = 256 * 1024
_LOCAL = ("file", "local")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(.*)", re.DOTALL)
_SHORT_FILE_URI = re.compile(r"(file|local):(/.*)", re.DOTALL)


class Seen(NamedTuple):
    """What identifies a file.

    :param sha256: the hash of its content, in hexadecimal.
    :param size: bytes.
    :param format: such as ``png``, judged by its content; None if it is not a picture.
    :param start: its first bytes.
    """

    sha256: str
    size: int
    format: str | None
    start: bytes


class Listed(NamedTuple):
    """What a listing says about a file.

    :param size: bytes.
    :param written_at: Unix seconds; None if the storage does not say.
    """

    size: int
    written_at: float | None


@dataclass(frozen=True)
class Place:
    """A file or folder in any storage.

    :param scheme: the scheme of its URI; empty for a path on this machine.
    :param host: the next part of the URI: a bucket, perhaps with ``connection@`` before it.
    :param key: the rest, from the ``/`` on. No character in it has a special meaning.
    """

    scheme: str
    host: str
    key: str

    @classmethod
    def of(cls, given: str | os.PathLike[str] | ObjectStoragePath | Place) -> Place:
        """Return the place that a path or URI names.

        A ``file://`` URI may be written with ``%20`` for a blank, as ``Path.as_uri`` does, or literally,
        as ``ObjectStoragePath`` reads it. If the literal name exists, it is meant literally.

        :raises ValueError: for a ``file://`` URI without an absolute path.
        """
        if isinstance(given, Place):
            return given
        text = str(given) if isinstance(given, ObjectStoragePath) else os.fspath(given)
        if (uri := _URI.fullmatch(text)) is None:
            short = _SHORT_FILE_URI.fullmatch(text)
            # Not normalised: the file system decides where ``..`` leads.
            return _file(*short.groups()) if short else cls("", "", str(Path.cwd() / text))
        scheme, host, key = uri[1].lower(), uri[2], uri[3]
        if scheme not in _LOCAL:
            return cls(scheme, host, key)
        if host.rpartition("@")[2] not in ("", "localhost"):
            raise ValueError(f"{scheme}:// must be followed by an absolute path, such as {scheme}:///data")
        return _file(scheme, key, host.rpartition("@")[0])

    def __truediv__(self, name: str) -> Place:
        """Return the place of a file or folder in this one."""
        return replace(self, key=f"{self.key.rstrip('/')}/{name}")

    def __str__(self) -> str:
        """Return its path or URI. ``ObjectStoragePath`` can open it too, unless it contains ``::``."""
        return f"{self.scheme}://{self.host}{self.key}" if self.scheme else self.key

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine or mounted here."""
        return self.scheme in ("", *_LOCAL)

    @property
    def fs(self) -> Any:
        """Its fsspec file system, with the connection that the URI names.

        :raises Exception: any error of the storage; ValueError if no package serves its scheme.
        """
        if self.scheme and not has_fs(self.scheme):  # Airflow 3.0 makes the path anyway
            raise ValueError(f"no filesystem for {self.scheme}://")
        return ObjectStoragePath(f"{self.scheme or 'file'}://{self.host}/").fs

    @property
    def path(self) -> str:
        """Its name as the methods of its file system take it."""
        if self.is_local:
            return self.key.rstrip("/") or "/"
        host = self.host.rpartition("@")[2]
        root = str(self.fs._strip_protocol(f"{self.scheme}://{host}/"))
        return f"{root.rstrip('/')}/{self.key.strip('/')}"

    def check_name(self) -> None:
        """Make sure that a file can be stored here under exactly this name.

        :raises ValueError: saying what is wrong with the name.
        :raises Exception: any error from opening the file system.
        """
        fs, path = self.fs, self.path
        path.encode()  # fails on half a surrogate pair
        for part in self.key.split("/"):
            if self.scheme not in OBJECT_STORES and _length(part) > MAX_NAME_BYTES:
                raise ValueError(
                    f"{part!r} has {_length(part)} bytes, but a name can have at most {MAX_NAME_BYTES}"
                )
        if self.scheme in OBJECT_STORES and _length(path) > MAX_KEY_BYTES:
            raise ValueError(
                f"{path!r} has {_length(path)} bytes, but an object's key can have at most {MAX_KEY_BYTES}"
            )
        kept = str(fs._strip_protocol(path))
        if hasattr(fs, "split_path"):
            kept = "/".join(fs.split_path(path)[:2])
        if kept.strip("/") != path.strip("/"):
            raise ValueError(f"{type(fs).__name__} would change {path!r} to {kept!r}")

    @contextmanager
    def open(self, mode: str = "rb", **options: Any) -> Iterator[Any]:
        """Open the file for reading; options as for the built-in ``open``.

        :raises OSError: FileNotFoundError, IsADirectoryError and others.
        """
        fs, path = self.fs, self.path
        fs.invalidate_cache(path)  # its listings may be out of date because of another process
        if self.is_local and Path(path).is_dir():
            raise IsADirectoryError("it is a folder")
        with fs.open(path, mode, **options) as file:
            if (getattr(file, "details", None) or {}).get("type") == "directory":
                raise IsADirectoryError("it is a folder")
            yield file

    def exists(self) -> bool:
        """Return whether there is such a file.

        :raises OSError: PermissionError and others.
        """
        fs, path = self.fs, self.path
        fs.invalidate_cache(path)
        try:
            fs.info(path)
        except FileNotFoundError:
            return False
        return True

    def read(self) -> bytes:
        """Return the file's content.

        :raises OSError: FileNotFoundError and others.
        """
        with self.open() as file:
            return bytes(file.read())

    def seen(self, most: int) -> Seen:
        """Read the file and return what identifies it. A file above ``most`` bytes is not read to its end.

        :raises OSError: FileNotFoundError and others.
        """
        digest, size, start = hashlib.sha256(), 0, b""
        with self.open() as file:
            # Counts the bytes instead of asking the storage for the size, which some do not know.
            while size <= most and (chunk := file.read(_CHUNK)):
                size += len(chunk)
                start = start or chunk[:START_BYTES]
                digest.update(chunk)
        return Seen(digest.hexdigest(), size, format_of(start), start)

    def put(self, local: Path) -> None:
        """Store a copy of a local file here, atomically: a reader never sees half of it.

        In an object store this needs only the right to put this one object. Elsewhere the file is written
        under a temporary name in the same folder and then renamed. A storage that cannot rename gets the
        file directly, and then it is not atomic.

        :raises OSError: and other errors of the storage. The old file, if any, is then still here.
        """
        fs, path = self.fs, self.path
        if self.scheme in OBJECT_STORES or type(fs).mv.__module__ == "fsspec.spec":  # where it is a copy
            # Old versions of adlfs refuse to overwrite unless told to.
            fs.put_file(str(local), path, **({"overwrite": True} if self.scheme in _AZURE else {}))
            return
        folder, _, name = path.rpartition("/")
        fs.makedirs(folder, exist_ok=True)
        if fs.isdir(path):  # a rename would put the file into it
            raise IsADirectoryError("it is a folder")
        part = f"{folder}/{_temporary(name)}"
        try:
            fs.put_file(str(local), part)
            if self.is_local:
                Path(part).replace(path)
            else:
                _rename(fs, part, path)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(part)
            raise

    def copy_within(self, target: Place) -> bool:
        """Have an object store copy the file to another place in it, atomically.

        :return: False if both are not in the same object store.
        :raises OSError: FileNotFoundError and others.
        """
        if self.scheme not in OBJECT_STORES or target.scheme not in OBJECT_STORES:
            return False
        fs = self.fs
        if fs is not target.fs:  # another account: fsspec makes one object for each account
            return False
        fs.cp_file(self.path, target.path)
        return True

    def put_bytes(self, content: bytes) -> None:
        """Store bytes here, atomically as in :meth:`put`.

        :raises OSError: and other errors of the storage.
        """
        with tempfile.TemporaryDirectory(prefix="gptimg-") as scratch:
            # Stores that keep a content type derive it from this name.
            local = Path(scratch) / f"content{posixpath.splitext(self.name)[1]}"
            local.write_bytes(content)
            self.put(local)

    def renew(self) -> None:
        """Make the file look as new as if it had just been written.

        :raises OSError: FileNotFoundError and others.
        """
        if self.is_local:
            os.utime(self.path)
        else:
            self.put_bytes(self.read())

    def remove(self) -> None:
        """Remove the file if it exists.

        :raises OSError: PermissionError and others.
        """
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path)

    def files(self, *, keeps_others: bool = False) -> dict[str, Listed]:
        """Return the files in this folder by name; empty if there is no folder.

        :param keeps_others: keep the listings of other folders in memory, for files that are copied next:
            S3 copies a listed file in one request instead of two. False drops them, because a long-running
            process would hold every folder that it ever listed.
        :raises OSError: PermissionError and others. A folder that cannot be listed never counts as empty.
        """
        fs, path = self.fs, self.path
        fs.invalidate_cache(path if keeps_others else None)  # another process may have changed the folder
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        return {
            posixpath.basename(entry["name"]): Listed(int(entry["size"] or 0), _written_at(entry))
            for entry in found
            if entry["type"] == "file"
        }


def remove_all(places: Sequence[Place]) -> None:
    """Remove files that are no longer needed. If the storage refuses, keep them and log it."""
    try:
        for place in places:
            place.remove()
    except Exception as error:  # noqa: BLE001 - each store has its own error for a missing right
        log.warning(
            "%d old files, such as %s, could not be removed (%s: %s). They do no harm.",
            len(places),
            places[0],
            type(error).__name__,
            error,
        )


def _file(scheme: str, key: str, connection: str = "") -> Place:
    """Return the place of a ``file://`` URI."""
    literal = Place(scheme, f"{connection}@" if connection else "", key or "/")
    return literal if "%" not in key or os.path.lexists(key) else replace(literal, key=unquote(key))


def _written_at(entry: Mapping[str, Any]) -> float | None:
    # The keys that local files, S3, Google and Azure use, in this order.
    found = (entry.get(name) for name in ("mtime", "LastModified", "updated", "last_modified"))
    written = next((each for each in found if each is not None), None)
    if isinstance(written, str):
        written = pendulum.parse(written)
    if isinstance(written, datetime):
        return written.timestamp()
    return written if isinstance(written, float) else None


def _length(name: str) -> int:
    return len(name.encode(errors="surrogatepass"))


def _temporary(name: str) -> str:
    # Always the same name, so that the next attempt overwrites what a killed one left.
    part = f".{name}.part"
    return (
        part if _length(part) <= MAX_NAME_BYTES else f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.part"
    )


def _rename(fs: Any, part: str, path: str) -> None:
    try:
        fs.mv(part, path)
    except Exception:
        if not fs.isfile(path):
            raise
    # SMB and WebHDFS do not rename over an existing file. One raises, the other does nothing.
    if fs.isfile(part):
        fs.rm_file(path)
        fs.mv(part, path)
