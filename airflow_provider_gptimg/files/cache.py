"""The cache of owned images. Its key is a hash of everything that decides how they look.

Files lie in a folder of the cache that is named after the first two digits of the key::

    <key>-<index>-<width>x<height>-<bytes>-<sha256>-<generation id>.png     a picture
    <key>-<milliseconds>-<pictures>-<bytes>-<maker>-<generation id>.json    its entry, written last

``makers/<maker>.json`` names the task that made it. The file names hold everything else that a task needs. So
one listing of a folder finds hundreds of entries, and shows whether they are whole. An entry counts only if
it and all its pictures have the number of bytes in their names. So any file may be deleted at any time. Two
writers write different names, or the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import cast
from urllib.parse import quote, unquote

import pendulum

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.files.names import FileNames, fields_of
from airflow_provider_gptimg.files.place import Listed, Place, remove_all
from airflow_provider_gptimg.payment.identity import hash_of
from airflow_provider_gptimg.result import Asked, MadeBy, Result, StoredImage

log = logging.getLogger(__name__)

VERSION = 1
"""Version of the key, see :func:`key_of`. After a change of it, older entries are not found any more."""

LISTERS = 16
"""How many folders of the cache are listed at the same time."""

KEY_DIGITS, MAKER_DIGITS = 40, 12

RENEWED_AFTER = 30 * 86_400
"""Seconds after which the files of an image that is used are written again, so that a rule that deletes old
files spares them. Depending on the key it is up to twice as long, so that they are not all due at once."""

_PICTURE = re.compile(r"([0-9a-f]{40})-(\d+)-(\d+)x(\d+)-(\d+)-([0-9a-f]{64})-([^/]+)\.([a-z]+)")
_ENTRY = re.compile(r"([0-9a-f]{40})-(\d+)-(\d+)-(\d+)-([0-9a-f]{12})-([^/]+)\.json")


def key_of(request: GenerationRequest) -> str | None:
    """Return the key of a request: a hash of all that is sent, with files by content and URLs by text.

    :return: None if one of its files cannot be read.
    """
    if any(file.problem for file in request.files):
        return None
    return hash_of({"version": VERSION, **request.body()})[:KEY_DIGITS]


def own_key(generation_id: str) -> str:
    """Return the key of a generation whose request is no longer known. No request has this key."""
    return hash_of({"generation_id": generation_id})[:KEY_DIGITS]


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: the images for one key.

    :param made_at: Unix seconds.
    :param pictures: the images in the cache.
    :param folder: the folder that they are in.
    :param place: the file of the entry itself.
    :param made_by: the task that made it, None if that is no longer known.
    :param is_to_be_renewed: whether its files are old.
    """

    key: str
    generation_id: str
    made_at: float
    pictures: tuple[StoredImage, ...]
    folder: Place
    place: Place
    made_by: MadeBy | None = None
    is_to_be_renewed: bool = False

    def _result(self, asked: Asked, images: list[StoredImage]) -> Result:
        return Result(
            generation_id=self.generation_id,
            status="completed",
            model=asked["model"],
            prompt=asked["prompt"],
            size=asked["size"],
            resolution=asked["resolution"],
            urls=[image["uri"] for image in images],
            images=images,
            created_at=None,
            completed_at=pendulum.from_timestamp(self.made_at).to_iso8601_string(),
            expires_at=None,
            submissions=0,
            missing=max(0, (asked.get("n") or 0) - len(images)),
            cost_usd=0.0,
            cost_estimated=False,
            cached=True,
            made_by=self.made_by,
        )

    def take(self, asked: Asked, folder: Place | None, names: FileNames) -> Result | None:
        """Copy the images to a folder and return the result that hands them on.

        :param folder: None leaves them in the cache.
        :return: None if an image is gone or has changed.
        :raises ApiError: kind STORAGE, if they cannot be read or copied.
        """
        try:
            images = [self._handed_out(picture, folder, names) for picture in self.pictures]
        except (FileNotFoundError, ValueError) as error:
            log.warning("An image in the cache cannot be used, so it is made again: %s", error)
            return None
        except Exception as error:
            raise _unusable(self.place, error) from error
        if self.is_to_be_renewed:
            self._renew()
        return self._result(asked, images)

    def _renew(self) -> None:
        """Renew the files, the entry last. If the storage refuses, the next run tries again."""
        pictures = [self.folder / _name_of(self.key, self.generation_id, each) for each in self.pictures]
        try:
            for place in (*pictures, self.place):
                place.renew()
        except Exception as error:  # noqa: BLE001 - whatever a storage raises
            why = f"{type(error).__name__}: {error}"
            log.warning("The cache could not renew %s (%s). A life-cycle rule may delete it.", place, why)

    def _handed_out(self, picture: StoredImage, folder: Place | None, names: FileNames) -> StoredImage:
        if folder is None:
            return picture
        place = self.folder / _name_of(self.key, self.generation_id, picture)
        target = folder / names.name(picture["index"], picture["format"])
        if not place.copy_within(target):
            content = place.read()
            if hashlib.sha256(content).hexdigest() != picture["sha256"]:
                raise ValueError(f"{place} has changed since it was stored")
            target.put_bytes(content)
        return _at(target, picture)


@dataclass
class Found:
    """What a cache has for some keys.

    :param entries: the newest whole entry of each key.
    :param unusable: why an existing entry cannot be used, by key.
    :param places: all entries of each key, including unusable ones.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cache:
    """A folder of owned images, in any storage that ``ObjectStoragePath`` opens.

    :param max_age: seconds; older entries are not used. None sets no limit.
    """

    folder: Place
    max_age: float | None = None
    clock: Callable[[], float] = time.time
    _makers: dict[str, MadeBy | None] = field(default_factory=dict, compare=False, repr=False)
    _lock: Lock = field(default_factory=Lock, compare=False, repr=False)

    def find(self, keys: Collection[str]) -> Found:
        """Find the entries for some keys, with one listing of each folder.

        :raises ApiError: kind STORAGE, also if the listing is refused.
        """
        wanted = set(keys)
        folders = [self.folder / name for name in sorted({key[:2] for key in wanted})]
        found = Found()
        with ThreadPoolExecutor(LISTERS, thread_name_prefix="gptimg-cache") as listers:
            try:
                listings = listers.map(partial(Place.files, keeps_others=True), folders)
                for folder, files in zip(folders, listings, strict=True):
                    self._read(folder, files, wanted, found)
                makers = list({_maker_in(entry) for entry in found.entries.values()} - self._makers.keys())
                self._makers.update(zip(makers, listers.map(self._maker, makers), strict=True))
            except Exception as error:
                raise _unusable(self.folder, error) from error
        for key, entry in found.entries.items():
            found.entries[key] = replace(entry, made_by=self._makers[_maker_in(entry)])
        return found

    def slot(self, key: str, generation_id: str, older: Sequence[Place] | None = None) -> Slot:
        """Return the slot for a generation's images; ``older`` as in :class:`Slot`."""
        return Slot(self, key, generation_id, older)

    def why_not(
        self, found: Found, request: GenerationRequest, folder: Place | None, names: FileNames
    ) -> str | None:
        """Return why no images are taken from the cache, and remember the request for the next run.

        :param found: what the cache has for the request's key.
        :param folder: where the images will be stored, under ``names``.
        :return: such as ``changed: prompt``; None if the reason is not known. Never raises.
        """
        name = _stable_name(folder, names)
        changed = None if name is None else self._changed(name, request)
        return found.unusable.get(key_of(request) or "") or changed

    def _changed(self, names: Place, request: GenerationRequest) -> str | None:
        """Return what changed since the last request for the same name; the name is the same in each run."""
        place = self.folder / "names" / f"{hash_of({'name': str(names)})[:KEY_DIGITS]}.json"
        now = {name: hash_of({"value": value})[:16] for name, value in request.body().items()}
        try:
            before = json.loads(place.read())
        except Exception:  # noqa: BLE001 - there is none, or the storage failed somehow
            before = None
        if before == now:
            return None
        try:
            place.put_bytes(json.dumps(now).encode())
        except Exception as error:  # noqa: BLE001 - a note for people
            log.debug("The cache could not write down the request of %s (%s).", names, error)
        if not isinstance(before, Mapping):
            return None
        differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        return f"changed: {', '.join(differing)}"

    def name_maker(self, made_by: MadeBy) -> str:
        """Return the short name that entries use for a task, after writing to the cache which task it is.

        :raises Exception: any error of the storage.
        """
        maker = hash_of(made_by)[:MAKER_DIGITS]
        with self._lock:
            if maker not in self._makers:
                self._place_of(maker).put_bytes(json.dumps(made_by).encode())
                self._makers[maker] = made_by
        return maker

    def _maker(self, maker: str) -> MadeBy | None:
        try:
            named = json.loads(self._place_of(maker).read())
        except Exception:  # noqa: BLE001 - a note for people; there is none, or the storage failed
            return None
        is_whole = isinstance(named, dict) and named.keys() == MadeBy.__annotations__.keys()
        return cast("MadeBy", named) if is_whole else None

    def _place_of(self, maker: str) -> Place:
        return self.folder / "makers" / f"{maker}.json"

    def _is_old(self, key: str, written_at: float | None) -> bool:
        limit = RENEWED_AFTER * (1 + int(key[2:4], 16) / 256)
        return written_at is not None and written_at < self.clock() - limit

    def _read(self, folder: Place, files: Mapping[str, Listed], wanted: set[str], found: Found) -> None:
        pictures: dict[tuple[str, str], dict[int, StoredImage]] = {}
        entries = []
        for name, file in files.items():
            if name[:KEY_DIGITS] not in wanted:
                continue
            if entry := _ENTRY.fullmatch(name):
                entries.append((name, file, entry))
            elif (match := _PICTURE.fullmatch(name)) and int(match[5]) == file.size:
                picture = _picture(match, folder / name)
                pictures.setdefault((match[1], match[7]), {})[picture["index"]] = picture
        for name, file, match in sorted(entries, key=lambda each: int(each[2][2])):
            key, made_at = match[1], int(match[2]) / 1000
            found.places.setdefault(key, []).append(folder / name)
            own = pictures.get((key, match[6]), {})
            if file.size != int(match[4]) or set(own) != set(range(int(match[3]))):
                found.unusable.setdefault(key, "an entry is damaged")
            elif self.max_age is not None and made_at < self.clock() - self.max_age:
                found.unusable[key] = "older than cache_max_age"
            else:
                ordered = tuple(own[index] for index in sorted(own))
                found.entries[key] = Entry(
                    key=key,
                    generation_id=unquote(match[6]),
                    made_at=made_at,
                    pictures=ordered,
                    folder=folder,
                    place=folder / name,
                    is_to_be_renewed=self._is_old(key, file.written_at),
                )


@dataclass(frozen=True)
class Slot:
    """The place in the cache for one generation's images.

    :param older: the entries that it replaces; None if the cache was not searched.
    """

    cache: Cache
    key: str
    generation_id: str
    older: Sequence[Place] | None = None

    @property
    def folder(self) -> Place:
        """The folder of its files."""
        return self.cache.folder / self.key[:2]

    def place_of(self, image: StoredImage) -> Place:
        """Return where to put a picture."""
        return self.folder / _name_of(self.key, self.generation_id, image)

    def complete(self, images: Iterable[StoredImage], asked: Asked, made_by: MadeBy) -> Entry:
        """Write the entry; all of its pictures must be there. It replaces older entries of its key.

        :param asked: a description of the request, for people.
        :param made_by: the task that made it.
        :raises Exception: any error of the storage.
        """
        maker = self.cache.name_maker(made_by)
        pictures = tuple(_at(self.place_of(image), image) for image in images)
        made_at = int(self.cache.clock() * 1000)
        told = {
            "version": VERSION,
            "key": self.key,
            "generation_id": self.generation_id,
            "made_at": pendulum.from_timestamp(made_at / 1000).to_iso8601_string(),
            "pictures": [self.place_of(picture).name for picture in pictures],
            "request": asked,
            "made_by": made_by,
        }
        text = json.dumps(told, indent=1).encode()
        place = (
            self.folder
            / f"{self.key}-{made_at}-{len(pictures)}-{len(text)}-{maker}-{_quoted(self.generation_id)}.json"
        )
        older = (
            self._listed(made_at) if self.older is None else [each for each in self.older if each != place]
        )
        place.put_bytes(text)
        if replaced := [each for each in older if each != place]:
            remove_all(replaced)
        return Entry(self.key, self.generation_id, made_at / 1000, pictures, self.folder, place, made_by)

    def _listed(self, made_at: int) -> list[Place]:
        return [
            self.folder / name
            for name in self.folder.files()
            if (match := _ENTRY.fullmatch(name)) and match[1] == self.key and int(match[2]) < made_at
        ]


def _maker_in(entry: Entry) -> str:
    match = _ENTRY.fullmatch(entry.place.name)
    return match[5] if match else ""


def _stable_name(folder: Place | None, names: FileNames) -> Place | None:
    """Return where each run stores its first image; None if the name differs from run to run."""
    if folder is None or "identity" in fields_of(names.pattern):
        return None
    return folder / names.name(0, "png")


def _unusable(place: Place, error: Exception) -> ApiError:
    return ApiError(
        Kind.STORAGE,
        f"The cache {place} cannot be used ({type(error).__name__}: {error}). Nothing was submitted. It "
        "needs the rights to list, read and write below cache_path.",
    )


def _name_of(key: str, generation_id: str, image: StoredImage) -> str:
    facts = f"{image['index']}-{image['width']}x{image['height']}-{image['bytes']}-{image['sha256']}"
    return f"{key}-{facts}-{_quoted(generation_id)}.{image['format']}"


def _picture(match: re.Match[str], place: Place) -> StoredImage:
    return StoredImage(
        index=int(match[2]),
        url=str(place),
        uri=str(place),
        sha256=match[6],
        bytes=int(match[5]),
        width=int(match[3]),
        height=int(match[4]),
        format=match[8],
    )


def _quoted(generation_id: str) -> str:
    return quote(generation_id, safe="")


def _at(place: Place, image: StoredImage) -> StoredImage:
    return {**image, "url": str(place), "uri": str(place)}
