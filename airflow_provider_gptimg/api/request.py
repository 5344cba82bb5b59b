"""A request for a generation, completely checked before anything is sent or paid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.models import DEFAULT_MODEL, RESOLUTIONS, model_named

MAX_PROMPT_CHARACTERS = 32_000
"""Contract: Submit, ``prompt`` (seed)."""

BUSINESS_ID = "[A-Za-z0-9_-]{1,96}"
"""A safe form; the service's own rule is unknown (contract: Finding a task again)."""

MAX_COUNT = 2**53 - 1
"""The largest whole number that every JSON reader accepts. The service names no maximum of ``n``."""

_NOT_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f]")

_SHOWN = 5
"""Most sizes of a batch that its log names."""

NUL = "\x00"
"""PostgreSQL accepts it neither in text nor in JSON, so a task with it would fail after it has paid."""

OWN_FIELDS = ("model", "prompt", "size", "resolution", "n", "reference_images", "client_business_id")
"""Fields with their own argument, which ``extra_body`` must not repeat."""


@dataclass(frozen=True)
class ReferenceFile:
    """A reference image without a URL. It is uploaded before the request is submitted.

    :param where: its path or URI.
    :param sha256: the hash of its content, in hexadecimal.
    :param size: bytes.
    :param mime_type: judged by its content.
    :param read: returns its content, or raises an ApiError of kind REFERENCE.
    :param problem: why it cannot be read now, and so has no hash. Then only an already paid generation
        can be used.
    """

    where: str
    sha256: str
    size: int
    mime_type: str
    read: Callable[[], bytes]
    problem: ApiError | None = None


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One request for images (contract: Submit). Build it with :meth:`checked`.

    :param reference_images: http(s) URLs, and files that will get one.
    :param extra_body: fields of the service that have no argument here.
    """

    prompt: str
    model: str = DEFAULT_MODEL
    size: str = "1:1"
    resolution: str = "1K"
    n: int = 1
    reference_images: tuple[str | ReferenceFile, ...] = ()
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def checked(
        cls,
        prompt: object,
        *,
        model: object = DEFAULT_MODEL,
        size: object = "1:1",
        resolution: object = "1K",
        n: object = 1,
        reference_images: object = None,
        image_urls: object = None,
        response_format: object = "url",
        extra_body: object = None,
        check_sizes: bool = True,
    ) -> GenerationRequest:
        """Return the request, after checking it.

        ``image_urls`` is the service's older name for ``reference_images``.

        :param check_sizes: False leaves size and resolution to the service; see :func:`unchecked`.

        :raises ApiError: kind INVALID, naming the field, its value and what is allowed.
        """
        extra = _extra(extra_body)
        # A request may have response_format and image_urls, although the operators have no argument
        # for them. They are checked like the others, wherever they come from.
        for given in (response_format, extra.pop("response_format", "url")):
            if given != "url":
                raise invalid("response_format", given, "the service returns URLs, so only 'url' is possible")
        if image_urls is None:
            image_urls = extra.pop("image_urls", None)
        elif "image_urls" in extra:
            raise invalid("image_urls", image_urls, "it is in extra_body too: give it once")
        if image_urls is not None and reference_images is not None:
            raise invalid("image_urls", image_urls, "give reference_images only, it is the same field")
        field_name = "reference_images" if image_urls is None else "image_urls"
        request = cls(
            prompt=_prompt(prompt),
            model=_text("model", model),
            size=_text("size", size),
            resolution=_resolution(resolution),
            n=_count(n),
            reference_images=_references(
                field_name, image_urls if reference_images is None else reference_images
            ),
            extra_body=extra,
        )
        row = model_named(request.model)
        if check_sizes:
            row.check_size(request.size, request.resolution)
        row.check(n=request.n, extra=request.extra_body)
        return request

    @property
    def files(self) -> list[ReferenceFile]:
        """The reference images that have no URL yet."""
        return [image for image in self.reference_images if isinstance(image, ReferenceFile)]

    def with_urls(self, urls: Mapping[str, str]) -> GenerationRequest:
        """Return the request with each file replaced by its URL, which ``urls`` has by SHA-256."""
        images = (
            urls[image.sha256] if isinstance(image, ReferenceFile) else image
            for image in self.reference_images
        )
        return replace(self, reference_images=tuple(images))

    def body(self, client_business_id: str | None = None) -> dict[str, Any]:
        """Return the JSON object to send (contract: Submit). A file is replaced by its hash."""
        body: dict[str, Any] = {
            **self.extra_body,
            "model": self.model,
            "prompt": self.prompt,
            "size": self.size,
            "n": self.n,
            "response_format": "url",
        }
        if model_named(self.model).takes_resolution or self.resolution != RESOLUTIONS[0]:
            body["resolution"] = self.resolution
        if self.reference_images:
            body["reference_images"] = [
                f"sha256:{image.sha256}" if isinstance(image, ReferenceFile) else image
                for image in self.reference_images
            ]
        if client_business_id is not None:
            body["client_business_id"] = client_business_id
        return body


def unchecked(sizes: Collection[tuple[str, str]]) -> str:
    """Return the line for the log if ``check_sizes`` is off: the sizes that only the service checks.

    :param sizes: sizes and their resolutions.
    """
    named = [f"size={size!r} at resolution={resolution!r}" for size, resolution in sorted(sizes)[:_SHOWN]]
    more = f", and {len(sizes) - _SHOWN} more" if len(sizes) > _SHOWN else ""
    return f"Not checked, because check_sizes is off in the connection: {', '.join(named)}{more}."


def _prompt(value: object) -> str:
    prompt = _text("prompt", value)
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ApiError(
            Kind.INVALID,
            f"prompt={prompt[:60]!r}… has {len(prompt)} characters: "
            f"at most {MAX_PROMPT_CHARACTERS} are allowed.",
            field="prompt",
        )
    return prompt


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise invalid(name, value, f"a string is needed, not {type(value).__name__}")
    if not value.strip():
        raise invalid(name, value, "it must not be empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(name, value, f"character {error.start} is half of a surrogate pair") from None
    if NUL in value:
        raise invalid(name, value, f"character {value.index(NUL)} is NUL, which PostgreSQL refuses")
    return value


def _resolution(value: object) -> str:
    # The service accepts lower case too (contract: Submit). The tables have upper case only.
    resolution = _text("resolution", value)
    return resolution.upper() if resolution.upper() in RESOLUTIONS else resolution


def _count(value: object) -> int:
    if type(value) is not int:
        raise invalid(
            "n",
            value,
            f"a whole number is needed, not {type(value).__name__} (a template gives text unless "
            "the DAG sets render_template_as_native_obj=True)",
        )
    if not 1 <= value <= MAX_COUNT:
        raise invalid("n", value, f"at least 1 image, at most {MAX_COUNT}")
    return value


def _references(name: str, value: object) -> tuple[str | ReferenceFile, ...]:
    if value is None:
        return ()
    urls = (value,) if isinstance(value, str) else value
    if not isinstance(urls, Sequence) or isinstance(urls, bytes):
        raise invalid(name, value, "one URL or a list of them")
    return tuple(url if isinstance(url, ReferenceFile) else _reference(name, url) for url in urls)


def _reference(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise invalid(name, value, f"a URL is needed, not {type(value).__name__}")
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme.lower() not in ("http", "https") or not host or _NOT_IN_A_URL.search(value):
        raise invalid(
            name,
            value,
            "only http:// and https:// URLs; the service takes no base64 and no data URIs: upload the file "
            "first (hook.upload, or GptImgUploadOperator) and give its URL",
        )
    return _text(name, value)


def _extra(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid("extra_body", value, f"a dict of fields is needed, not {type(value).__name__}")
    for name in value:
        if name in OWN_FIELDS or not isinstance(name, str):
            raise invalid("extra_body", {name: value[name]}, "only fields that have no argument of their own")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False).encode())
        # It is sent as UTF-8, so half a surrogate pair must be found here and not only when it is encoded.
        json.dumps(copied, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid("extra_body", value, f"it must be plain JSON ({error})") from None
    if _holds_nul(copied):
        raise invalid("extra_body", value, "it contains the character NUL, which PostgreSQL refuses")
    return copied


def _holds_nul(value: object) -> bool:
    pending = [value]
    while pending:  # JSON may be nested more deeply than calls can be
        part = pending.pop()
        if isinstance(part, dict):
            pending += [*part, *part.values()]
        elif isinstance(part, list):
            pending += part
        elif isinstance(part, str) and NUL in part:
            return True
    return False
