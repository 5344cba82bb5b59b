"""Fetching a result: streamed, bounded, checked; without the key, and not from where it must not be."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.image_formats import format_of, is_whole
from airflow_provider_gptimg.api.settings import Settings

MAX_IMAGE_BYTES = 200 * 1024 * 1024
"""No picture of this service comes near; more than this is not one."""

MAX_SECONDS = 600.0
"""A picture that takes longer is given up; the limit of each read is never reached drop by drop."""

MAX_REDIRECTS = 3


@dataclass(frozen=True)
class Fetched:
    """An answer whose body is still to be read: status, headers by lower-case name, chunks."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


Fetch = Callable[[str], AbstractContextManager[Fetched]]


@dataclass(frozen=True)
class Download:
    """A fetched picture: its length in bytes, SHA-256 in hexadecimal, and format."""

    bytes: int
    sha256: str
    format: str


def download(
    fetch: Fetch,
    url: str,
    settings: Settings,
    file: BinaryIO,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Download:
    """Write the picture at a result URL to ``file``.

    :param clock: returns seconds from any moment on.
    :raises ApiError: EXPIRED where the service says it is gone, DOWNLOAD or UNREACHABLE otherwise.
    """
    give_up_at = clock() + MAX_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        check_address(url, settings)
        with fetch(url) as answer:
            if 300 <= answer.status < 400 and "location" in answer.headers:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status in (404, 410):
                raise ApiError(Kind.EXPIRED, f"The image is gone: its URL answers {answer.status}.")
            if answer.status != 200:
                raise ApiError(Kind.DOWNLOAD, f"The image's URL answers {answer.status}.")
            return _write(answer, file, lambda: clock() > give_up_at)
    raise ApiError(Kind.DOWNLOAD, f"The image's URL redirects more than {MAX_REDIRECTS} times.")


def _write(answer: Fetched, file: BinaryIO, is_late: Callable[[], bool]) -> Download:
    digest, length, start, end = hashlib.sha256(), 0, b"", b""
    for chunk in answer.chunks:
        length += len(chunk)
        if length > MAX_IMAGE_BYTES:
            raise ApiError(Kind.DOWNLOAD, f"The image has more than {MAX_IMAGE_BYTES} bytes.")
        if is_late():
            raise ApiError(
                Kind.DOWNLOAD, f"The image was not there after {MAX_SECONDS:g} s, only {length} bytes of it."
            )
        digest.update(chunk)
        file.write(chunk)
        start, end = (start + chunk)[:64] if len(start) < 64 else start, (end + chunk)[-16:]
    promised = answer.headers.get("content-length", "")
    if promised.isdigit() and int(promised) != length:
        raise ApiError(Kind.DOWNLOAD, f"The image broke off after {length} of {promised} bytes.")
    image_format = format_of(start)
    if image_format is None:
        raise ApiError(Kind.DOWNLOAD, f"This is no image; it begins {shorten(repr(start))}.")
    if not is_whole(image_format, end):
        raise ApiError(Kind.DOWNLOAD, f"The {image_format} image is cut short after {length} bytes.")
    return Download(length, digest.hexdigest(), image_format)


def check_address(url: str, settings: Settings) -> None:
    """Refuse a result URL that is not http(s), or that leads into a private network.

    Unless the service itself is there: then its images may be, too. What a proxy resolves is the
    proxy's to judge.

    :raises ApiError: kind DOWNLOAD.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(Kind.DOWNLOAD, f"The image's URL is not http(s): {shorten(url)}.")
    if not _goes_through_proxy(parts, settings) and _is_private(parts.hostname):
        base = urlsplit(settings.base_url).hostname or ""
        if not _is_private(base):
            raise ApiError(Kind.DOWNLOAD, f"The image's URL leads into a private network: {parts.hostname}.")


def _goes_through_proxy(url: SplitResult, settings: Settings) -> bool:
    """Return whether the HTTP client asks a proxy for it, the connection's or the environment's."""
    if settings.proxy is not None:
        return True
    proxies = {} if settings.is_local else getproxies()
    return bool((url.scheme in proxies or "all" in proxies) and not proxy_bypass(url.netloc))


def _is_private(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise ApiError(Kind.UNREACHABLE, f"The host {host} cannot be resolved ({error}).") from None
    return any(not ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found)
