"""A generation as the service reports it, read tolerantly from all known forms of answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.prices import CREDITS_PER_USD

QUEUED = "queued"
COMPLETED = "completed"
FAILED = "failed"
RUNNING = frozenset({QUEUED, "in_progress", "pending", "submitted", "processing"})
"""Statuses known to mean "not yet" (contract: Status). Any other non-final status means it too."""

FINAL_STATUSES = frozenset({COMPLETED, FAILED})

MAX_URLS = 1_000
"""An answer with more result URLs is not from this service."""

LIFETIME = 24 * 3600.0
"""Seconds that result URLs live if the answer does not say (contract: Status)."""

MAX_ID_CHARACTERS = 512
"""An id is opaque, but goes into URLs, log lines and XCom. Longer or unprintable ids are refused."""

_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What one answer says about a generation (contract: Submit, Status).

    :param id: the service's task id, opaque.
    :param status: as answered, in lower case; see :attr:`is_final`.
    :param progress: percent, 0-100, None if not given; not reliable.
    :param created_at: Unix seconds, UTC; likewise ``completed_at``, ``expires_at``, ``answered_at``.
    :param answered_at: the time of the answer by the service's clock (the ``Date`` header).
    :param urls: the result URLs in order; empty until completed.
    :param reason: why it failed, in the service's words.
    :param cost_usd: US dollars billed, 0.0 once refunded, None if the answer does not say.
    """

    id: str
    status: str = QUEUED
    model: str | None = None
    progress: int | None = None
    created_at: float | None = None
    completed_at: float | None = None
    expires_at: float | None = None
    answered_at: float | None = None
    urls: tuple[str, ...] = ()
    client_business_id: str | None = None
    reason: str | None = None
    cost_usd: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether the service is done with it: completed or failed."""
        return self.status in FINAL_STATUSES

    @property
    def is_unknown(self) -> bool:
        """Whether the contract does not name this status."""
        return not self.is_final and self.status not in RUNNING

    def age(self, now: float) -> float:
        """Return the seconds since the submission, by the service's clock if the answer has it."""
        if self.created_at is None:
            return 0.0
        return max(0.0, (self.answered_at or now) - self.created_at)

    def finished_at(self, now: float) -> float | None:
        """Return when it was completed, in Unix seconds by the clock of ``now``; None if it is not."""
        if self.status != COMPLETED or self.completed_at is None:
            return None
        return now - ((self.answered_at or now) - self.completed_at)

    @property
    def duration(self) -> float | None:
        """The seconds that it took, if the service says so."""
        if self.created_at is None or self.completed_at is None:
            return None
        return max(0.0, self.completed_at - self.created_at)

    def is_expired(self, now: float) -> bool:
        """Return whether its images are gone at ``now`` (Unix seconds)."""
        if self.status != COMPLETED:
            return False
        expires_at = self.expires_at
        if expires_at is None and self.completed_at is not None:
            expires_at = self.completed_at + LIFETIME
        return expires_at is not None and expires_at <= (self.answered_at or now)

    def expired(self) -> ApiError:
        """Return the error for a generation whose images are gone."""
        until = "" if self.expires_at is None else f" on {formatdate(self.expires_at, usegmt=True)}"
        return ApiError(
            Kind.EXPIRED,
            f"The images of this generation expired{until}. To make new images, clear the task that "
            "submitted it. The new submission is billed.",
            generation_id=self.id,
        )

    def completed(self) -> Generation:
        """Return self, a completed generation with images.

        :raises ApiError: kind FAILED, or NO_IMAGES if a completed generation has no URL.
        """
        if self.status == FAILED:
            raise ApiError(
                Kind.FAILED,
                f"The service could not make the image: {(self.reason or 'it gave no reason').rstrip('.')}.",
                generation_id=self.id,
            )
        if not self.urls:
            raise ApiError(
                Kind.NO_IMAGES,
                "The service says the generation is completed, but gives no image URL.",
                generation_id=self.id,
            )
        return self

    @classmethod
    def read(
        cls, data: Mapping[str, Any], *, asked_id: str | None = None, answered_at: float | None = None
    ) -> Generation:
        """Read one generation from an answer's JSON object.

        :param asked_id: the id that was asked for. It is used if the answer has a status but no id.
        :raises ApiError: kind MALFORMED if there is no id at all.
        """
        generation_id = data.get("id") or (asked_id if data.get("status") else None)
        if isinstance(generation_id, int) and not isinstance(generation_id, bool):
            generation_id = str(generation_id)
        if not isinstance(generation_id, str) or not _is_id(generation_id):
            raise ApiError(Kind.MALFORMED, f"The answer has no generation id: {shorten(str(dict(data)))}")
        status = data.get("status")
        completed_at = _number(data.get("completed_at")) or None
        business_id = data.get("client_business_id")
        return cls(
            id=generation_id,
            status=(shorten(status.lower(), 60) if isinstance(status, str) else "") or QUEUED,
            model=shorten(data["model"]) if isinstance(data.get("model"), str) else None,
            progress=_percent(data.get("progress")),
            # Some servers write 0 for "not yet".
            created_at=_number(data.get("created_at")) or None,
            completed_at=completed_at,
            expires_at=_expiry(data, completed_at),
            answered_at=answered_at,
            urls=_result_urls(data),
            client_business_id=shorten(business_id) if isinstance(business_id, str) else None,
            reason=_reason(data),
            cost_usd=_cost(data.get("billing")),
        )


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ID_CHARACTERS and text.isprintable()


def shorten(text: str, limit: int = 200) -> str:
    """Return at most ``limit`` printable characters of a text from outside."""
    shown = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    return " ".join(shown.split())[:limit]


def _result_urls(data: Mapping[str, Any]) -> tuple[str, ...]:
    result = data.get("result")
    places = [
        result.get("data") if isinstance(result, Mapping) else None,
        data.get("images"),
        data.get("url"),
    ]
    for place in places:
        urls = [url for text in _urls_in(place) if (url := read_url(text))]
        if len(urls) > MAX_URLS:
            raise ApiError(
                Kind.MALFORMED, f"The answer has {len(urls)} image URLs. At most {MAX_URLS} are allowed."
            )
        if urls:
            return tuple(urls)
    return ()


def read_url(text: str) -> str | None:
    """Return an http(s) URL, stripped and with its scheme in lower case; None for other texts."""
    scheme, mark, rest = text.strip().partition("://")
    if scheme.lower() not in ("https", "http") or not rest or not rest.isprintable():
        return None
    return f"{scheme.lower()}{mark}{rest}"


def _urls_in(value: object) -> Iterator[str]:
    """Yield URLs from a list of objects, one object, or a bare URL: all three have been seen."""
    for item in value if isinstance(value, list) else [value]:
        url = item.get("url") if isinstance(item, Mapping) else item
        if isinstance(url, str):
            yield url


def _reason(data: Mapping[str, Any]) -> str | None:
    error = data.get("error")
    parts: list[object] = [error]
    if isinstance(error, Mapping):
        parts = [error.get("code"), error.get("message")]
    said = [shorten(str(part)) for part in (*parts, data.get("fail_reason")) if part not in (None, "")]
    return ": ".join(dict.fromkeys(said)) or None


def _expiry(data: Mapping[str, Any], completed_at: float | None) -> float | None:
    expires_at = _number(data.get("expires_at")) or None
    began = completed_at or _number(data.get("created_at")) or None
    # Images cannot expire before they are made, so such a number means something else.
    return None if expires_at and began and expires_at <= began else expires_at


def _cost(billing: object) -> float | None:
    """Return the US dollars in a ``billing`` object, None if it is not final (contract: What it cost)."""
    if not isinstance(billing, Mapping):
        return None
    status = billing.get("status") or "settled"
    if not isinstance(status, str) or status.lower() not in ("settled", "refunded"):
        return None
    if status.lower() == "refunded":
        return 0.0
    cost, credits_ = _number(billing.get("cost_usd")), _number(billing.get("credits"))
    if cost is None and credits_ is not None:
        return credits_ / CREDITS_PER_USD
    return cost


def _percent(value: object) -> int | None:
    number = _number(value)
    return min(100, int(number)) if number is not None else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number < _YEAR_10000 else None
