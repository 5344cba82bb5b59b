"""The service's validation of a generation request (contract: Submit)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.json_bodies import whole
from airflow_provider_gptimg.emulator.models import (
    MODELS,
    PIXEL_SIZE,
    TIERS,
    Model,
    Pixels,
    tier_of,
)

MAX_PROMPT = 32_000
"""Characters (contract: Submit)."""

MAX_IMAGES = 1_000
"""The emulator's own limit on ``n``, to save memory; the contract gives none for gpt-image-2."""

# White space and control characters, spelled out: the meaning of \\s differs between regex dialects.
_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

VISIBLE = f"[^{_BLANK}]"
"""A visible character; a prompt has at least one."""

WEB_URL = f"[Hh][Tt][Tt][Pp][Ss]?://[^{_BLANK}/?#][^{_BLANK}]*"
"""An ``http://`` or ``https://`` URL, as a regular expression; the emulator does not check that it leads
anywhere."""


@dataclass(frozen=True)
class Submission:
    """A request that passed validation."""

    model: str
    prompt: str
    size: str
    tier: str
    pixels: Pixels
    n: int
    price: int
    """Micro-dollars per image."""
    reference_images: tuple[str, ...]
    client_business_id: str | None
    transparent: bool

    @property
    def cost(self) -> int:
        """The cost of the submission, in micro-dollars."""
        return self.price * self.n


def parse_submission(body: dict[str, Any], size_table: str) -> Submission:
    """Check ``body`` like the service and return it typed; an :class:`ApiError` says what is wrong.

    A field that is null counts as absent. Unknown fields are accepted and ignored (contract: a request
    may carry extra body fields).

    :param size_table: The account's table, one of
        :data:`~airflow_provider_gptimg.emulator.models.SIZE_TABLES`.
    """
    body = {name: value for name, value in body.items() if value is not None}
    model = _model(body)
    prompt = _prompt(body)
    size, tier, pixels = _size(model, body, size_table)
    if _text(body, "response_format", "url") != "url":
        raise _invalid("response_format", "must be 'url': results are URLs", body["response_format"])
    for name, allowed in model.options.items():
        if _text(body, name, allowed[0]) not in allowed:
            raise _invalid(name, f"of {model.name} must be one of {', '.join(allowed)}", body[name])
    return Submission(
        model=model.name,
        prompt=prompt,
        size=size,
        tier=tier,
        pixels=pixels,
        n=_count(model, body),
        price=model.prices[tier],
        reference_images=(
            *_references(model, body, "reference_images"),
            *_references(model, body, "image_urls"),  # its older name
        ),
        client_business_id=_text(body, "client_business_id", "") or None,
        transparent="background" in model.options and body.get("background") == "transparent",
    )


def _invalid(field: str, rule: str, value: object) -> ApiError:
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:99] + "…"
    return ApiError(400, message=f"{field} {rule}; got {shown}.", param=field)


def _required(body: dict[str, Any], name: str) -> str:
    if name not in body:
        raise ApiError(400, message=f"{name} is required.", param=name)
    return _text(body, name, "")


def _text(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise _invalid(name, "must be a string", value)
    return value


def _model(body: dict[str, Any]) -> Model:
    name = _required(body, "model")
    if not name.strip():
        raise _invalid("model", "must not be empty", name)
    if name not in MODELS:
        # Not accepted, and never worth a retry (contract: Errors, the row of 503).
        raise ApiError(503, "model_not_found", f"No available channel for model {name[:100]!r}.")
    return MODELS[name]


def _prompt(body: dict[str, Any]) -> str:
    prompt = _required(body, "prompt")
    if not re.search(VISIBLE, prompt):
        raise _invalid("prompt", "must not be empty", prompt)
    if len(prompt) > MAX_PROMPT:
        raise ApiError(
            400,
            message=f"prompt must be at most {MAX_PROMPT} characters long, but this one has {len(prompt)}.",
            param="prompt",
        )
    return prompt


def _size(model: Model, body: dict[str, Any], size_table: str) -> tuple[str, str, Pixels]:
    if not model.sizes:
        return _pixel_size(model, body)
    size = _text(body, "size", "1:1")
    resolution = _text(body, "resolution", "1K")
    tier = resolution.upper()  # lower case is accepted too (contract: Submit)
    if tier not in TIERS:
        raise _invalid("resolution", f"must be one of {', '.join(TIERS)}", resolution)
    sizes = model.offered(size_table)[tier]
    if size not in sizes:
        raise _invalid("size", f"of {model.name} at {tier} must be one of {', '.join(sizes)}", size)
    return size, tier, sizes[size]


def _pixel_size(model: Model, body: dict[str, Any]) -> tuple[str, str, Pixels]:
    if "resolution" in body:
        rule = f"is not a field of {model.name}, give the size in pixels"
        raise _invalid("resolution", rule, body["resolution"])
    size = _text(body, "size", "1024x1024")
    match = re.fullmatch(PIXEL_SIZE, size)
    if match is None:
        rule = f"of {model.name} must be WIDTHxHEIGHT in pixels, such as 1536x1024, each side 256 to 3840"
        raise _invalid("size", rule, size)
    pixels = (int(match[1]), int(match[2]))
    return size, tier_of(pixels), pixels


def _count(model: Model, body: dict[str, Any]) -> int:
    value = whole(body.get("n", 1))
    if isinstance(value, bool) or not isinstance(value, int):  # a quoted number is refused (contract: Submit)
        raise _invalid("n", "must be an integer, as a JSON number", value)
    limit = model.max_images or MAX_IMAGES
    if not 1 <= value <= limit:
        raise _invalid("n", f"of {model.name} must be from 1 to {limit}", value)
    return value


def _references(model: Model, body: dict[str, Any], name: str) -> tuple[str, ...]:
    urls = body.get(name, [])
    if not isinstance(urls, list):
        raise _bad_reference(name, "must be a list of URLs")
    for position, url in enumerate(urls):
        if not isinstance(url, str):
            raise _bad_reference(name, "must be a URL", position)
        if not re.fullmatch(WEB_URL, url):
            rule = "must be an http:// or https:// URL; base64 and data URIs are refused: upload it first"
            raise _bad_reference(name, rule, position)
    if model.max_references is not None and len(urls) > model.max_references:
        raise _bad_reference(
            name, f"of {model.name} may have at most {model.max_references} entries; got {len(urls)}"
        )
    return tuple(urls)


def _bad_reference(field: str, rule: str, position: int | None = None) -> ApiError:
    place = field if position is None else f"{field}[{position}]"
    return ApiError(400, "invalid_reference_images", f"{place} {rule}.", param=field)
