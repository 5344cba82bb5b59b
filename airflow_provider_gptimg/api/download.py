"""Fetches a result: streamed, limited, checked, without the key, and only from allowed addresses."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.image_formats import format_of, is_whole
from airflow_provider_gptimg.api.settings import Settings

MAX_IMAGE_BYTES = 200 * 1024 * 1024
"""Far more than any picture of this service has. Anything larger is refused."""

MAX_SECONDS = 600.0
"""Limit for a whole picture. A server that sends drop by drop never reaches the limit of a single read."""

MAX_REDIRECTS = 3

_PIECE = 1024 * 1024
"""Bytes to unpack at a time, so that a small answer cannot fill the memory."""

_GZIP_OR_ZLIB = 47
"""The ``wbits`` with which zlib detects which of the two it is."""


@dataclass(frozen=True)
class Fetched:
    """An answer with an unread body: status, headers by lower-case name, chunks."""

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
    """Write the picture at a result URL to ``file``. Compression by a CDN is undone.

    :param file: empty, and open for writing and reading.
    :param clock: returns seconds since any fixed moment.
    :raises ApiError: EXPIRED if the service says it is gone, otherwise DOWNLOAD or UNREACHABLE.
    """
    give_up_at = clock() + MAX_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        check_address(url, settings)
        with fetch(url) as answer:
            if 300 <= answer.status < 400 and "location" in answer.headers:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status in (404, 410):
                raise ApiError(Kind.EXPIRED, f"The image is gone: its URL answered {answer.status}.")
            if answer.status != 200:
                raise ApiError(Kind.DOWNLOAD, f"The image's URL answered {answer.status}.")
            return _write(answer, file, lambda: clock() > give_up_at)
    raise ApiError(Kind.DOWNLOAD, f"The image's URL redirects more than {MAX_REDIRECTS} times.")


def _write(answer: Fetched, file: BinaryIO, is_late: Callable[[], bool]) -> Download:
    digest, length, start = hashlib.sha256(), 0, b""
    for chunk in _decoded(_counted(answer)):
        length += len(chunk)
        if length > MAX_IMAGE_BYTES:
            raise ApiError(Kind.DOWNLOAD, f"The image has more than {MAX_IMAGE_BYTES} bytes.")
        if is_late():
            raise ApiError(
                Kind.DOWNLOAD,
                f"The image did not arrive within {MAX_SECONDS:g} s. Only {length} bytes arrived.",
            )
        digest.update(chunk)
        file.write(chunk)
        start = (start + chunk)[:64] if len(start) < 64 else start
    image_format = format_of(start)
    if image_format is None:
        raise ApiError(Kind.DOWNLOAD, f"This is not an image. It begins with {shorten(repr(start))}.")
    if not is_whole(image_format, file):
        raise ApiError(Kind.DOWNLOAD, f"The {image_format} image is truncated after {length} bytes.")
    return Download(length, digest.hexdigest(), image_format)


def _counted(answer: Fetched) -> Iterator[bytes]:
    length = 0
    for chunk in answer.chunks:
        length += len(chunk)
        yield chunk
    promised = answer.headers.get("content-length", "")
    if promised.isdigit() and int(promised) != length:
        raise ApiError(
            Kind.DOWNLOAD, f"The download of the image stopped after {length} of {promised} bytes."
        )


def _decoded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a body without the compression that some CDNs add unasked.

    Its first bytes decide, not its headers. No picture begins like compressed data, and some servers leave
    the header out, or send it with uncompressed data.
    """
    start = next(chunks, b"")
    if not _is_compressed(start):
        yield start
        yield from chunks
        return
    decoder = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    try:
        for chunk in chain((start,), chunks):
            rest = chunk
            while rest and not decoder.eof:
                yield decoder.decompress(rest, _PIECE)
                rest = decoder.unconsumed_tail
        yield decoder.flush()
    except zlib.error as error:
        raise ApiError(
            Kind.DOWNLOAD, f"The image arrived compressed and cannot be decompressed ({error})."
        ) from None


def _is_compressed(start: bytes) -> bool:
    is_zlib = len(start) > 1 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0
    return is_zlib or start[:1] == b"\x1f"


def check_address(url: str, settings: Settings) -> None:
    """Refuse a result URL that is not http(s), or that leads into a private network.

    If the service itself is in a private network, its images may be too. Names that a proxy resolves are
    left to the proxy.

    :raises ApiError: kind DOWNLOAD.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(Kind.DOWNLOAD, f"The image's URL is not http(s): {shorten(url)}.")
    if not _goes_through_proxy(parts, settings) and _is_private(parts.hostname):
        base = urlsplit(settings.base_url).hostname or ""
        if not _is_private(base):
            raise ApiError(Kind.DOWNLOAD, f"The image's URL points to a private network: {parts.hostname}.")


def _goes_through_proxy(url: SplitResult, settings: Settings) -> bool:
    """Return whether the HTTP client uses a proxy for it, the connection's or the environment's."""
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
