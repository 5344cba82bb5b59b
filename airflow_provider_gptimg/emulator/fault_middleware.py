"""The middleware that counts requests and applies faults to them, down to the TCP connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.faults import Endpoint, Rule
from airflow_provider_gptimg.emulator.json_bodies import parse_object
from airflow_provider_gptimg.emulator.limits import QUERY, SUBMIT
from airflow_provider_gptimg.emulator.shapes import REFERENCE
from airflow_provider_gptimg.emulator.state import Emulator

GENERATIONS = "/v1/images/generations"
UPLOADS = "/v1/uploads/images"
RESULT_FILES = "/files/results/"
UPLOAD_FILES = "/files/uploads/"

_HTML = b"<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1><hr>proxy</body></html>\n"


def endpoint_of(scope: Scope) -> Endpoint | None:
    """Return a request's endpoint, as the ledger and the fault rules name it, if it has one."""
    method, path = scope["method"], scope["path"]
    if method == "GET":
        if path.startswith(f"{GENERATIONS}/"):
            return "status"
        return "download" if path.startswith((RESULT_FILES, UPLOAD_FILES)) else None
    if method == "POST":
        return {GENERATIONS: "submit", UPLOADS: "upload"}.get(path)  # type: ignore[return-value]
    return None


@dataclass
class Answer:
    """The application's answer, held back instead of being sent."""

    messages: list[Message] = field(default_factory=list)

    async def keep(self, message: Message) -> None:
        """Take the place of ``send``."""
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])


@dataclass(frozen=True)
class Exchange:
    """One request that a fault is applied to."""

    scope: Scope
    receive: Receive
    send: Send
    disconnect: Receive
    """The server's own ``receive``; after the body it waits for the end of the connection."""

    @property
    def transport(self) -> asyncio.Transport:
        """The TCP connection, provided by :mod:`.server`."""
        transport = self.scope.get("state", {}).get("transport")
        if transport is None:  # such as an in-process ASGI client
            raise ConnectionResetError("this fault needs a real connection")
        return transport  # type: ignore[no-any-return]

    async def gone(self) -> None:
        """Wait until the connection has ended."""
        while (await self.disconnect())["type"] != "http.disconnect":
            pass

    async def reset(self) -> None:
        """End the connection with a TCP reset: the peer sees ECONNRESET, not an orderly end."""
        peer = self.transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.gone()

    async def answer(self, status: int, content_type: bytes, body: bytes) -> None:
        """Send a different answer from the application's."""
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


class FaultMiddleware:
    """The outermost ASGI middleware: it counts every request, and makes some fail."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then pass it on or apply a fault to it."""
        endpoint = endpoint_of(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        self._emulator.ledger.requests.count(endpoint)
        faults = self._emulator.faults
        if not faults.rules:
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, disconnect=receive)
        text = ""
        if faults.looks_at_text(endpoint):
            body, replay = await _buffered(receive)
            exchange = Exchange(scope, replay, send, disconnect=receive)
            text = self._text(endpoint, scope["path"], body)
        drawn = faults.draw(endpoint, text)
        if drawn is None:
            await self._app(scope, exchange.receive, send)
        else:
            await self._break(endpoint, *drawn, exchange)

    def _text(self, endpoint: Endpoint, path: str, body: bytes) -> str:
        """Return the text that `match` looks at: the path, and the request's prompt and business id."""
        if endpoint == "submit":
            try:
                sent = parse_object(body)
            except ApiError:
                return path
            return f"{path}\n{sent.get('prompt')}\n{sent.get('client_business_id')}"
        identifier = path.removeprefix(f"{GENERATIONS}/").removeprefix(RESULT_FILES)
        for candidate in (identifier, identifier.partition("/")[0]):
            try:
                submission = self._emulator.find(candidate).submission
            except ApiError:
                continue
            return f"{path}\n{submission.prompt}\n{submission.client_business_id}"
        return path

    async def _break(self, endpoint: Endpoint, rule: Rule, hit: int, exchange: Exchange) -> None:
        match rule.kind:
            case "status":
                await self._status(endpoint, rule, exchange)
            case "reset_before":
                await exchange.reset()
            case "reset_after":
                await self._process(exchange)
                await exchange.reset()
            case "delay":
                answer = await self._process(exchange)
                await asyncio.sleep(rule.duration)
                for message in answer.messages:
                    await exchange.send(message)
            case "malformed":
                await self._malformed(hit, exchange)
            case "truncate":
                await self._truncate(exchange)
            case "hang":
                await self._hang(rule, exchange)

    async def _process(self, exchange: Exchange) -> Answer:
        answer = Answer()
        await self._app(exchange.scope, exchange.receive, answer.keep)
        return answer

    async def _status(self, endpoint: Endpoint, rule: Rule, exchange: Exchange) -> None:
        if rule.accepted:
            await self._process(exchange)
        headers = {}
        if rule.retry_after is not None:
            headers["Retry-After"] = f"{rule.retry_after:g}"
        if rule.status == 429:
            self._emulator.ledger.requests.rate_limited += 1
            headers["X-RateLimit-Category"] = {"submit": SUBMIT, "status": QUERY}.get(endpoint, endpoint)
        code = "task_not_found" if rule.status == 404 and endpoint == "status" else None
        shape = REFERENCE if endpoint == "download" else self._emulator.settings.shape
        response = ApiError(rule.status or 500, code, "This fault was requested.", headers).response(shape)
        await response(exchange.scope, exchange.receive, exchange.send)

    async def _malformed(self, hit: int, exchange: Exchange) -> None:
        answer = await self._process(exchange)
        if hit % 2:
            await exchange.answer(200, b"text/html; charset=utf-8", _HTML)
        else:
            await exchange.answer(200, b"application/json", answer.body[: len(answer.body) // 2])

    async def _truncate(self, exchange: Exchange) -> None:
        answer = await self._process(exchange)
        await exchange.send(answer.messages[0])  # its Content-Length counts the whole body
        half = answer.body[: len(answer.body) // 2]
        await exchange.send({"type": "http.response.body", "body": half, "more_body": True})
        exchange.transport.close()  # an orderly end, after the written data was sent
        await exchange.gone()

    async def _hang(self, rule: Rule, exchange: Exchange) -> None:
        if rule.accepted:
            await self._process(exchange)
        try:
            await asyncio.wait_for(exchange.gone(), rule.duration)
        except asyncio.TimeoutError:
            await exchange.reset()


async def _buffered(receive: Receive) -> tuple[bytes, Receive]:
    """Read the body ahead, and return it with a ``receive`` that hands it out again."""
    messages: list[Message] = []
    while True:
        messages.append(await receive())
        if not messages[-1].get("more_body", False):
            break
    body = b"".join(message.get("body", b"") for message in messages)
    waiting = iter(messages)

    async def replay() -> Message:
        return next(waiting, None) or await receive()

    return body, replay
