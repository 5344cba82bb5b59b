"""Middleware for every answer: saved state, the date, ``HEAD`` for every ``GET``, CORS on ``/v1``."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_gptimg.emulator.clock import Clock


class Dated:
    """Middleware: dates every answer by the emulator's clock, like a server with a correct clock."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with a ``Date`` header added."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._clock.now(), usegmt=True)
                message["headers"] = [*message.get("headers", ()), (b"date", date.encode())]
            await send(message)

        await self._app(scope, receive, dated)


class Kept:
    """Middleware: no answer is sent before its facts are in the state file."""

    def __init__(self, app: ASGIApp, keep: Callable[[], None]) -> None:
        self._app = app
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, after the state was saved."""

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._keep()
            await send(message)

        await self._app(scope, receive, kept)


class HeadAsGet:
    """Middleware: answers ``HEAD`` with the head of the answer to ``GET``; both count as the same request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, but leave the body out of an answer to ``HEAD``."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class CorsOnTheApi:
    """Middleware: lets web pages call ``/v1``, but not fetch result files (contract: Base and auth)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=[
                "Retry-After",
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
                "X-RateLimit-Category",
            ],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; on ``/v1`` answer preflights and add the headers."""
        is_api = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await (self._open if is_api else self._app)(scope, receive, send)
