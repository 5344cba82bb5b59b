"""The result of a generation as it goes downstream: a plain JSON dict, the same for every way to wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import pendulum

from airflow_provider_gptimg.api.errors import ApiError, invalid
from airflow_provider_gptimg.api.generation import COMPLETED, FAILED, Generation
from airflow_provider_gptimg.api.prices import DEFAULT_PRICES, Prices, price_of
from airflow_provider_gptimg.api.request import GenerationRequest

PROMPT_CHARACTERS = 200
"""The most characters of a prompt in an XCom, because XCom is for small values."""


class Image(TypedDict):
    """One image of a result."""

    index: int
    url: str


class StoredImage(Image):
    """One stored image of a result: its URI, SHA-256, bytes, and width and height in pixels."""

    uri: str
    sha256: str
    bytes: int
    width: int
    height: int
    format: str


class MadeBy(TypedDict):
    """The task instance that made an image; ``map_index`` is -1 if the task was not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class _OfTheCache(TypedDict, total=False):
    made_by: MadeBy | None
    """If the result is ``cached``: the task that paid for it, or None if that is no longer known."""


class Result(_OfTheCache):
    """What a finished generation hands downstream (XCom ``return_value``). Times are ISO 8601, UTC."""

    generation_id: str
    status: str
    model: str | None
    prompt: str | None
    size: str | None
    resolution: str | None
    urls: list[str]
    images: Sequence[Image]
    created_at: str | None
    completed_at: str | None
    expires_at: str | None
    submissions: int | None
    missing: int
    """How many of the requested images a completed generation does not have; normally 0."""
    cost_usd: float | None
    """Cost in US dollars: what the service says, else the price, or None if neither is known."""
    cost_estimated: bool
    """Whether ``cost_usd`` comes from the connection's ``prices``, because the service names no cost."""
    cached: bool
    """Whether the images came from the cache, so that nothing was paid."""


Store = Callable[[int, str], StoredImage]
"""Stores an image, given its index and its URL, and returns its entry for the result."""


class Asked(TypedDict):
    """The part of a result that only the submitting task knows."""

    model: str | None
    prompt: str | None
    size: str | None
    resolution: str | None
    submissions: int | None
    n: int | None
    """The number of requested images. Values that an older version kept do not have this key."""


NOTHING_ASKED = Asked(model=None, prompt=None, size=None, resolution=None, submissions=None, n=None)
"""For a generation if only its id is known."""


def asked(request: GenerationRequest, submissions: int) -> Asked:
    """Return the part of a request that its result repeats."""
    return Asked(
        model=request.model,
        prompt=request.prompt[:PROMPT_CHARACTERS],
        size=request.size,
        resolution=request.resolution,
        submissions=submissions,
        n=request.n,
    )


def asked_in(result: str | Mapping[str, Any]) -> Asked:
    """Return the same part of another task's result, or ``NOTHING_ASKED`` if only an id is given."""
    if isinstance(result, str):
        return NOTHING_ASKED
    return Asked(
        model=result.get("model"),
        prompt=result.get("prompt"),
        size=result.get("size"),
        resolution=result.get("resolution"),
        submissions=result.get("submissions"),
        n=None,
    )


TEXT_OF_A_VALUE = (
    "this is the text of a dict or list: set render_template_as_native_obj=True on the DAG, or pass the "
    "upstream task's output itself"
)
"""The message for a value that begins with a bracket."""


def generation_id_in(given: object) -> str:
    """Return the id of a generation, from a plain id or a result dict.

    :raises ApiError: kind INVALID if there is no id.
    """
    generation_id = given.get("generation_id") if isinstance(given, Mapping) else given
    # A template renders a missing XCom as the text "None".
    if not isinstance(generation_id, str) or generation_id.strip() in ("", "None"):
        raise invalid(
            "generation_id", given, "the id of a generation is needed, or the result dict that names it"
        )
    if generation_id.strip()[0] in "{[(":
        raise invalid("generation_id", given, TEXT_OF_A_VALUE)
    return generation_id.strip()


def result_of(
    generation: Generation, asked: Asked, store: Store | None = None, *, prices: Prices = DEFAULT_PRICES
) -> Result:
    """Return the result of a generation in any state. If ``store`` is given, store its images first."""
    cost, is_estimated = cost_of(generation, asked, prices)
    images: list[Image] | list[StoredImage]
    if store is None:
        images = [Image(index=index, url=url) for index, url in enumerate(generation.urls)]
        urls = list(generation.urls)
    else:
        images = [store(index, url) for index, url in enumerate(generation.urls)]
        urls = [image["uri"] for image in images]
    return Result(
        generation_id=generation.id,
        status=generation.status,
        model=asked["model"] or generation.model,
        prompt=asked["prompt"],
        size=asked["size"],
        resolution=asked["resolution"],
        urls=urls,
        images=images,
        created_at=_iso(generation.created_at),
        completed_at=_iso(generation.completed_at),
        expires_at=_iso(generation.expires_at),
        submissions=asked["submissions"],
        missing=_missing(generation, asked),
        cost_usd=cost,
        cost_estimated=is_estimated,
        cached=False,
    )


def cost_of(generation: Generation, asked: Asked, prices: Prices) -> tuple[float | None, bool]:
    """Return what a generation cost in US dollars, and whether that is an estimate (contract: What it cost).

    :param prices: the account's prices, for an answer that names no cost.
    """
    if generation.cost_usd is not None and generation.is_final:
        return generation.cost_usd, False
    if generation.status == FAILED:
        return 0.0, False  # the service refunds it
    images = len(generation.urls) or asked.get("n") or 1
    price = price_of(prices, asked["model"] or generation.model, asked["resolution"], images)
    return price, price is not None


def list_price(result: Result, prices: Prices) -> float | None:
    """Return what a result's images would cost at the account's prices, or None if that is not known."""
    return price_of(prices, result["model"], result["resolution"], len(result["images"]))


def collect(
    generation: Generation, asked: Asked, store: Store | None = None, *, prices: Prices = DEFAULT_PRICES
) -> Result:
    """Return the result of a finished generation. If ``store`` is given, store its images first.

    :raises ApiError: FAILED, NO_IMAGES, EXPIRED, and what ``store`` raises. It names the generation.
    """
    try:
        if generation.completed().is_expired(time.time()):
            raise generation.expired()
        return result_of(generation, asked, store, prices=prices)
    except ApiError as error:
        raise error.about(generation.id) from error.__cause__


def shortfall(result: Result) -> str | None:
    """Return a log line if a completed generation has fewer images than requested, else None."""
    if not result["missing"]:
        return None
    return (
        f"Generation {result['generation_id']} is completed with {len(result['images'])} image(s), "
        f"{result['missing']} fewer than requested. The result has the images that exist."
    )


def _missing(generation: Generation, asked: Asked) -> int:
    if generation.status != COMPLETED:
        return 0
    return max(0, (asked.get("n") or 0) - len(generation.urls))


def submitted_at_in(given: object) -> float | None:
    """Return when a generation was submitted, in Unix seconds, or None if the given value does not say."""
    return moment_in(given, "created_at")


def moment_in(given: object, name: str) -> float | None:
    """Return a time from a result dict in Unix seconds, or None if it has no such time.

    :param name: the key, such as ``created_at`` or ``expires_at``.
    """
    text = given.get(name) if isinstance(given, Mapping) else None
    try:
        moment: Any = pendulum.parse(text) if isinstance(text, str) else None
        return None if moment is None else float(moment.timestamp())
    except (ValueError, AttributeError):  # a date, a duration, or no time at all
        return None


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else pendulum.from_timestamp(seconds).to_iso8601_string()
