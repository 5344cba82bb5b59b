"""The gallery's cards: one per picture, made from the records of tasks. Does not depend on Airflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import pendulum

MAX_SIDE = 20_000
"""Pixels. A larger width or height is a mistake, and is not shown."""


MAX_USD = 1e6
"""Dollars. A higher cost is a mistake, and is not shown."""

MAX_NAME = 200
"""Maximum characters of an item's id on the page."""


class State(str, Enum):
    """What a card can show of its picture."""

    READY = "ready"
    COMING = "coming"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Place:
    """A task instance.

    :param map_index: -1 if the task is not mapped.
    :param region_id: its region, and ``region_index`` its place there, if it is in a loop (Airflow 3.4).
    :param iteration: the iteration of the loop, from 0.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    region_id: str | None = None
    region_index: int | None = None
    iteration: int | None = None


@dataclass(frozen=True)
class Cost:
    """A cost in US dollars, and whether part of it is only an estimate."""

    usd: float
    is_estimated: bool

    @classmethod
    def read(cls, record: Mapping[str, Any], *, images: int = 1) -> Cost | None:
        """Return the cost of one of the ``images`` pictures of a record; None if the record has no cost."""
        usd = record.get("cost_usd")
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 <= usd < MAX_USD:
            return None
        return cls(usd / max(images, 1), record.get("cost_estimated") is True)

    @classmethod
    def sum(cls, costs: Iterable[Cost | None]) -> Cost | None:
        """Return the sum of the known costs, an estimate if one is unknown; None if all are."""
        known, unknown = [], False
        for cost in costs:
            if cost is None:
                unknown = True
            else:
                known.append(cost)
        if not known:
            return None
        is_estimated = unknown or any(cost.is_estimated for cost in known)
        return cls(sum(cost.usd for cost in known), is_estimated)


@dataclass(frozen=True)
class Card:
    """One picture, or its placeholder.

    :param item: its line in a batch's manifest, 0 elsewhere.
    :param item_id: the author's own name for the item, as text.
    :param index: its index in its generation.
    :param url: its address at the service, http or https; None if it is stored or gone.
    :param uri: where it is stored.
    :param since: when it was requested.
    :param seconds: how long it took.
    :param message: why it failed.
    :param cost: its share of what its generation cost.
    :param is_cached: whether it was taken from the cache.
    :param made_by: the task instance that originally made it, if that is known.
    """

    place: Place
    state: State
    item: int = 0
    index: int = 0
    item_id: str | None = None
    prompt: str | None = None
    model: str | None = None
    size: str | None = None
    resolution: str | None = None
    generation_id: str | None = None
    url: str | None = None
    uri: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    since: datetime | None = None
    seconds: float | None = None
    expires_at: datetime | None = None
    message: str | None = None
    cost: Cost | None = None
    is_cached: bool = False
    made_by: Place | None = None

    @property
    def key(self) -> str:
        """Identifies it among the cards of its task instance, in addresses."""
        return f"{self.item}-{self.index}"

    @property
    def is_large(self) -> bool:
        """Whether the service's picture is too large for a thumbnail: more than 1K."""
        return self.url is not None and self.generation_id is not None and self.resolution not in (None, "1K")

    @property
    def is_stored(self) -> bool:
        """Whether it can be read from storage and verified."""
        return self.state is State.READY and self.uri is not None and self.sha256 is not None


def cards_of(place: Place, record: Mapping[str, Any], now: datetime, *, item: int = 0) -> list[Card]:
    """Return the cards of a result, or of a line of a manifest.

    Records come from Airflow's database and from files, so nothing in them is trusted.

    :param now: the time that decides what has expired; with a time zone.
    """
    # A manifest's line repeats the request, a journal's line part of it. A result repeats its main values.
    asked = next((record[name] for name in ("request", "shown") if _is_dict(record.get(name))), record)
    created, completed = _time(record.get("created_at")), _time(record.get("completed_at"))
    expires = _time(record.get("expires_at"))
    common: dict[str, Any] = {
        "item": item,
        "item_id": _name(record.get("id", asked.get("id"))),
        "prompt": _text(asked.get("prompt")),
        "model": _text(asked.get("model")),
        "size": _text(asked.get("size")),
        "resolution": _text(asked.get("resolution")),
        "generation_id": _text(record.get("generation_id") or _taken(record).get("generation_id")),
        "is_cached": record.get("cached") is True or bool(_taken(record)),
        "made_by": _maker(record.get("made_by") or _taken(record).get("made_by")),
        "since": created or _moment(record.get("submitted_at")),
        "seconds": (completed - created).total_seconds() if created and completed else None,
    }
    images = record.get("images")
    pictures = [image for image in images if isinstance(image, Mapping)] if isinstance(images, list) else []
    cost = Cost.read(record, images=len(pictures))
    found = [
        Card(place, index=position, cost=cost, **_picture(image, expires, now), **common)
        for position, image in enumerate(pictures)
    ]
    if found:
        return found
    error = record.get("error")
    if isinstance(error, Mapping):
        return [Card(place, State.FAILED, message=_text(error.get("message")), **common)]
    return [Card(place, State.COMING, **common)]


def _picture(image: Mapping[str, Any], expires: datetime | None, now: datetime) -> dict[str, Any]:
    uri, url = _text(image.get("uri")), web_url(image.get("url"))
    if uri is not None:
        return {
            "state": State.READY,
            "uri": uri,
            "sha256": _text(image.get("sha256")),
            "bytes": _count(image.get("bytes")),
            "width": _side(image.get("width")),
            "height": _side(image.get("height")),
        }
    if url is None or (expires is not None and expires <= now):
        return {"state": State.EXPIRED, "expires_at": expires}
    return {"state": State.READY, "url": url, "expires_at": expires}


def web_url(value: object) -> str | None:
    """Return a URL if a browser may load a picture from it, else None."""
    return value if isinstance(value, str) and origin_of(value) else None


def origin_of(url: str) -> str | None:
    """Return the origin of a http(s) URL, as a content-security policy names it; None if it has none.

    The host is rebuilt from the parsed URL, so that nothing else of the URL gets into a policy.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    if not all(letter.isascii() and (letter.isalnum() or letter in "-._") for letter in host):
        return None
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"


def origins(cards: Iterator[Card] | list[Card]) -> list[str]:
    """Return the origins from which the browser loads these pictures."""
    return sorted({origin for card in cards if card.url and (origin := origin_of(card.url))})


def _taken(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a journal's facts about an image that was taken from the cache."""
    taken = record.get("taken")
    return taken if isinstance(taken, Mapping) else {}


def _maker(value: object) -> Place | None:
    if not isinstance(value, Mapping):
        return None
    dag_id, run_id, task_id = (_text(value.get(name)) for name in ("dag_id", "run_id", "task_id"))
    index = value.get("map_index")
    if dag_id is None or run_id is None or task_id is None or not isinstance(index, int):
        return None
    return Place(dag_id, run_id, task_id, index)


def _text(value: object) -> str | None:
    # JSON can contain half a surrogate pair, but a page cannot.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and value else None


def _name(value: object) -> str | None:
    return _text(str(value)[:MAX_NAME]) if isinstance(value, (str, int)) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _side(value: object) -> int | None:
    side = _count(value)
    return side if side is not None and side <= MAX_SIDE else None


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


def _moment(value: object) -> datetime | None:
    """Return a time that was given in Unix seconds, within this century."""
    if not isinstance(value, (int, float)) or not 0 < value < 4e9:
        return None
    return datetime.fromtimestamp(value, timezone.utc)


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = pendulum.parse(value)
        return parsed.astimezone(timezone.utc) if isinstance(parsed, datetime) else None
    except (ValueError, OverflowError):  # OverflowError at either end of the calendar
        return None
