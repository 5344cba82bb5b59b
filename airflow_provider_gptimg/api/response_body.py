"""An answer as it arrives over a connection, limited in bytes and seconds, and without the key."""

from __future__ import annotations

import time
from collections.abc import Mapping

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.wire import Reply, Request

MAX_REPLY_BYTES = 1024 * 1024
"""An answer has a few hundred bytes. Anything larger is not one, and is not read into memory."""

SLOWEST_UPLOAD = 50_000.0
"""Bytes per second. The time limit of a call grows by the time that an upload takes at this speed."""

_HIDDEN = "<the key>"


class Answer:
    """Collects an answer as it arrives, and limits its bytes and seconds in case it never ends.

    If the service repeats the key in its answer, the key is replaced.
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        self._what = f"{request.method} {shorten(request.path)}"
        self._key = settings.api_key
        self._body = bytearray()
        sent = len(request.file.content) if request.file else 0
        self.longest = 2 * settings.timeout + sent / SLOWEST_UPLOAD
        self._until = time.monotonic() + self.longest

    def begin(self, headers: Mapping[str, str]) -> None:
        """Refuse an answer by its head.

        :raises ApiError: kind MALFORMED if it is compressed.
        """
        encoding = headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            # We did not ask for it, and a few bytes could unpack to gigabytes before we count them.
            raise self._malformed(f"is compressed ({self._shown(encoding)[:60]}) and was not read")

    def add(self, chunk: bytes) -> None:
        """Add a piece of the body.

        :raises ApiError: kind MALFORMED if the body is too long, or takes too long.
        """
        self._body += chunk
        if len(self._body) > MAX_REPLY_BYTES:
            raise self._malformed(f"is longer than {MAX_REPLY_BYTES} bytes and was not read further")
        if self._is_late():
            raise self._malformed(f"was not complete after {self.longest:g} s")

    def broken(self, error: Exception, *, timed_out: bool, quotable: bool, never_sent: bool) -> ApiError:
        """Return the error for a request whose answer is missing or incomplete.

        :param timed_out: whether a time limit ended it.
        :param quotable: whether the error's own text is about the network, and so holds no header.
        :param never_sent: whether the service surely did not get the request.
        """
        if self._body and (self._is_late() or isinstance(error, TimeoutError)):
            return self._malformed(f"was not complete after {self.longest:g} s")
        if self._body:
            return self._malformed(f"was cut off ({type(error).__name__})")
        how = "timed out" if timed_out or self._is_late() else "failed"
        if quotable:
            how += f": {self._shown(str(error))}"
        return ApiError(
            Kind.UNREACHABLE, f"{self._what} {how} ({type(error).__name__}).", not_accepted=never_sent
        )

    def reply(self, status: int, headers: Mapping[str, str]) -> Reply:
        """Return the whole answer."""
        shown = {name.lower(): self._hidden(value) for name, value in headers.items()}
        return Reply(status, shown, self._readable())

    def _readable(self) -> bytes:
        return bytes(self._body).replace(self._key.encode(), _HIDDEN.encode())

    def _is_late(self) -> bool:
        return time.monotonic() >= self._until

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, _HIDDEN)

    def _shown(self, text: str) -> str:
        return shorten(self._hidden(text))

    def _malformed(self, what: str) -> ApiError:
        start = shorten(self._readable()[:1_000].decode("utf-8", "replace"))
        return ApiError(Kind.MALFORMED, f"The answer to {self._what} {what}. It begins with {start!r}.")
