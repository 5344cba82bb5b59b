"""The client over real sockets: the same table for the sync and the async one, and no secret anywhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.api import client, flows, wire
from airflow_provider_gptimg.api.client import AsyncClient, SyncClient
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Flow, Send, Sleep
from airflow_provider_gptimg.api.polling.rate_limit import Buckets
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.wire import File, Reply, Request
from tests.support.driving import Clock
from tests.support.raw_service import Behaviour, RawService, hangs, http, raw_service, repeats, resets, says

KEY = "sk-MARKER-0123456789"
QUEUED = json.dumps({"id": "task_1", "status": "queued"}).encode()

Run = Callable[..., Awaitable[Any]]


def configured(url: str, timeout: float = 0.4) -> Settings:
    return Settings.checked(host=url, api_key=KEY, extra={"timeout": timeout})


async def run_sync(settings: Settings, flow: Flow[Any], transport: Any = None) -> Any:
    def work() -> Any:
        with SyncClient(settings, transport=transport) as client:
            return client.run(flow)

    return await asyncio.to_thread(work)


async def run_async(settings: Settings, flow: Flow[Any], transport: Any = None) -> Any:
    client = AsyncClient(settings, transport=transport)
    try:
        return await client.run(flow)
    finally:
        await client.aclose()


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


@pytest.fixture
def serve() -> Iterator[Callable[..., RawService]]:
    with ExitStack() as stack:
        yield lambda behave, **how: stack.enter_context(raw_service(behave, **how))


@pytest.fixture(autouse=True)
def no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    for name in (None, "httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    assert "MARKER" not in caplog.text


def once(request: Request) -> Flow[Reply]:
    return flows.call(request, clock=time.time, give_up_at=0.0, attempts=1)


SUBMISSION = wire.submission(GenerationRequest.checked("a fox"), "af-1")


async def fails(run: Run, settings: Settings, request: Request = SUBMISSION, **how: Any) -> ApiError:
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        await run(settings, once(request), **how)
    assert time.monotonic() - began < 4.0
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(vars(caught.value))
    assert "MARKER" not in shown
    assert len(str(caught.value)) < 600
    return caught.value


async def test_a_submission_as_the_service_gets_it(run: Run, serve: Any) -> None:
    service = serve(says(http(QUEUED), then_close=False))
    reply = await run(configured(f"{service.url}/v1/"), once(SUBMISSION))
    assert wire.read_generation(reply).id == "task_1"
    (received,) = service.received
    assert received.line == "POST /v1/images/generations HTTP/1.1"
    assert json.loads(received.body) == GenerationRequest.checked("a fox").body("af-1")
    expected = {
        "authorization": f"Bearer {KEY}",
        "user-agent": f"airflow-provider-gptimg/{__version__}",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    assert expected.items() <= received.headers.items()


@pytest.mark.parametrize(
    ("name", "path"),
    [("../../evil", "..%2F..%2Fevil"), ("a?b=c#d", "a%3Fb%3Dc%23d"), ("%2e%2e", "%252e%252e")],
)
async def test_an_id_stays_one_segment_on_the_wire(run: Run, serve: Any, name: str, path: str) -> None:
    service = serve(says(http(QUEUED)))
    await run(configured(service.url), once(wire.status_query(name)))
    assert service.received[0].line == f"GET /v1/images/generations/{path} HTTP/1.1"


@pytest.mark.parametrize("name", ["a.png", 'qu"ote\r\nX: y.png', "图.png", "bad\udce9.png"])
async def test_an_upload_as_the_service_gets_it(run: Run, serve: Any, name: str) -> None:
    service = serve(says(http(b'{"success": true, "data": {"url": "https://x/a"}}')))
    reply = await run(configured(service.url), once(wire.upload(File(name, b"\x89PNG bytes", "image/png"))))
    assert wire.read_upload(reply).url == "https://x/a"
    (received,) = service.received
    assert received.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="' in received.body
    assert b"\r\nContent-Type: image/png\r\n\r\n\x89PNG bytes\r\n" in received.body
    assert b"\r\nX: y" not in received.body


HTML = b"<html><title>502 Bad Gateway</title></html>"
HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
HUGE = 5 * 2**20
BOMB = gzip.compress(b" " * 50 * 2**20)
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"

# what the service does: kind of the error, what its message says
STORIES: dict[str, tuple[Behaviour, Kind, str]] = {
    "closes without an answer": (says(b""), Kind.UNREACHABLE, "disconnected"),
    "resets after the request": (resets(), Kind.UNREACHABLE, ""),
    "hangs": (hangs(), Kind.UNREACHABLE, "timed out"),
    "hangs in the head": (hangs(b"HTTP/1.1 200 OK\r\nContent-"), Kind.UNREACHABLE, "timed out"),
    "hangs in the body": (hangs(LONG, b'{"id": "task'), Kind.MALFORMED, "task"),
    "hangs before the body": (hangs(LONG), Kind.UNREACHABLE, "timed out"),
    "truncates": (says(LONG, b'{"id": "task_1"'), Kind.MALFORMED, "task_1"),
    "truncates a chunk": (says(ENDLESS, b'f\r\n{"id"'), Kind.MALFORMED, ""),
    "resets in the body": (resets(LONG, b'{"id": "task_1"'), Kind.MALFORMED, ""),
    "speaks no HTTP": (says(b"SSH-2.0-OpenSSH\r\n\r\n"), Kind.UNREACHABLE, ""),
    "sends binary": (says(bytes(range(256)) * 8), Kind.UNREACHABLE, ""),
    "sends an endless head": (repeats(HEAD, b"X: " + b"y" * 9000 + b"\r\n"), Kind.UNREACHABLE, ""),
    "sends a bad length": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"), Kind.UNREACHABLE, ""),
    "sends an endless body": (repeats(ENDLESS, CHUNK), Kind.MALFORMED, "longer than"),
    "sends a huge body": (says(http(b" " * HUGE)), Kind.MALFORMED, "longer than"),
    "sends a huge error": (says(http(b"x" * HUGE, "500 Oops")), Kind.MALFORMED, "longer than"),
    "drips its body": (repeats(ENDLESS, b"1\r\n \r\n", pause=0.1), Kind.MALFORMED, "was not complete after"),
    "sends a gzip bomb": (says(http(BOMB, Content_Encoding="gzip")), Kind.MALFORMED, "compressed (gzip)"),
    "answers HTML": (says(http(HTML, "502 Bad Gateway")), Kind.UNAVAILABLE, "502 Bad Gateway"),
    "answers 429": (says(http(b"{}", "429 Slow", Retry_After="7")), Kind.RATE_LIMITED, "429"),
    "answers 401": (says(http(b'{"message": "bad key"}', "401 No")), Kind.AUTHENTICATION, "bad key"),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
async def test_whatever_the_service_does_is_one_clear_error(run: Run, serve: Any, story: str) -> None:
    behave, kind, says_what = STORIES[story]
    service = serve(behave)
    error = await fails(run, configured(service.url))
    assert (error.kind, error.not_accepted) == (kind, kind is Kind.RATE_LIMITED)
    assert says_what in str(error)
    assert len(service.received) == 1, "a submission that reached the service is never sent again by itself"
    if kind is Kind.RATE_LIMITED:
        assert error.retry_after == 7.0


@pytest.mark.parametrize("part", [b"X", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_a_dripping_head_ends_as_well(run: Run, serve: Any, part: bytes) -> None:
    service = serve(repeats(HEAD if part == b"X" else b"", part, pause=0.1))
    error = await fails(run, configured(service.url))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, False)
    assert "timed out" in str(error)


@pytest.mark.parametrize("body", [HTML, b"", b'{"id": "task_', b"[]", b"null", b"[" * 100_000])
async def test_a_success_that_is_no_object_is_malformed_when_read(run: Run, serve: Any, body: bytes) -> None:
    service = serve(says(http(body)))
    reply = await run(configured(service.url), once(SUBMISSION))
    with pytest.raises(ApiError) as caught:
        wire.read_generation(reply)
    assert caught.value.kind is Kind.MALFORMED


async def test_a_redirect_never_carries_the_key_away(run: Run, serve: Any) -> None:
    elsewhere = serve(says(http(QUEUED)))
    for status in ("301 Moved", "302 Found", "307 Again", "308 Gone"):
        service = serve(says(http(b"", status, Location=f"{elsewhere.url}/v1/images/generations")))
        error = await fails(run, configured(service.url))
        assert elsewhere.url in str(error)
    assert elsewhere.connections == 0


def closed_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_refused_connection_was_surely_not_accepted(run: Run) -> None:
    error = await fails(run, configured(closed_port()))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, True)


async def test_a_connection_that_does_not_come_about_times_out(run: Run) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # fills the queue of a server that never accepts
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        error = await fails(run, configured(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, True)
    assert "timed out" in str(error)


async def test_a_name_that_is_not_known_was_surely_not_accepted(run: Run) -> None:
    error = await fails(run, configured("https://nowhere.invalid"))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, True)


async def test_a_tls_service_that_is_none(run: Run, serve: Any) -> None:
    service = serve(says(b"HTTP/1.1 400 plain http\r\n\r\n"), reads=False)
    error = await fails(run, configured(service.url.replace("http://", "https://")))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, True)


NO_ANSWER = [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.CloseError]
NEVER_SENT = [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError]
OTHERS = [
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.DecodingError,
    OSError,
]


@pytest.mark.parametrize("raised", [*NO_ANSWER, *NEVER_SENT, *OTHERS, httpx.InvalidURL])
async def test_each_error_of_the_library_says_whether_it_was_sent(run: Run, raised: type[Exception]) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        # A library that finds a header wrong quotes it.
        text = f"Illegal header value b'Bearer {KEY}'" if raised is httpx.LocalProtocolError else "text"
        raise raised(text)

    error = await fails(run, configured("https://x.example"), transport=httpx.MockTransport(handle))
    assert (error.kind, error.not_accepted) == (Kind.UNREACHABLE, raised in NEVER_SENT)


async def test_a_hundred_waits_share_one_client(serve: Any) -> None:
    looks: dict[str, int] = {}

    def behave(connection: socket.socket) -> None:
        name = service.received[-1].line
        looks[name] = looks.get(name, 0) + 1
        connection.sendall(
            http(json.dumps({"id": "t", "status": "completed", "url": "https://x/1"}).encode())
        )

    service = serve(behave)
    client = AsyncClient(Settings.checked(host=service.url, api_key=KEY, extra={"query_rps": 10_000}))
    waits = [
        flows.wait(
            f"task_{i}", pace=flows.Pace(), deadline=time.time() + 60, clock=time.time, first_look_after=0.0
        )
        for i in range(100)
    ]
    found = await asyncio.gather(*(client.run(wait) for wait in waits))
    await client.aclose()
    assert [generation.urls for generation in found] == [("https://x/1",)] * 100
    assert len(service.received) == 100
    assert service.connections <= 100


def test_a_429_holds_back_the_calls_of_its_kind_only() -> None:
    settings, clock = configured("https://x.example"), Clock()
    answers = iter([httpx.Response(429, headers={"Retry-After": "30"}, json={})])
    transport = httpx.MockTransport(lambda request: next(answers, httpx.Response(200, json={})))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    client = SyncClient(settings, buckets=Buckets(settings.limits, clock), transport=transport, sleep=sleep)
    with pytest.raises(ApiError):
        client.run(once(wire.status_query("a")))
    client.run(once(SUBMISSION))
    client.run(once(wire.balance()))
    assert slept == []
    client.run(once(wire.status_query("b")))
    assert sum(slept) == pytest.approx(30.0)


async def test_a_cancelled_wait_closes_its_flow(serve: Any) -> None:
    service, closed = serve(hangs()), []

    def flow() -> Iterator[Send | Sleep]:
        try:
            yield Sleep(0.0)
            yield Send(wire.balance())
        finally:
            closed.append(True)

    client = AsyncClient(configured(service.url, timeout=30.0))
    task = asyncio.create_task(client.run(flow()))  # type: ignore[arg-type]
    while not service.received:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]
    await client.aclose()


@pytest.mark.parametrize(
    "base_url",
    [
        "https://toapis.example",
        "http://127.0.0.1:8787",
        "https://proxy.example/images/api",
        "http://[::1]:99",
    ],
)
@pytest.mark.parametrize("generation_id", ["task_img_1", "a/../b", "with space?#", "ünïcode"])
def test_a_status_query_goes_where_httpx_would_send_it(base_url: str, generation_id: str) -> None:
    """It is built by hand, because it is made by the thousand; host, path and headers must be the same."""
    settings = Settings(base_url=base_url, api_key="sk-test")
    query = wire.status_query(generation_id)
    opened = httpx.AsyncClient(base_url=base_url, headers={"Authorization": "Bearer sk-test"})
    by_hand = client._built(opened, settings.base_url, query)
    by_httpx = opened.build_request("GET", query.path)
    assert by_hand.url == by_httpx.url
    assert by_hand.url.raw_path == by_httpx.url.raw_path
    assert by_hand.headers == by_httpx.headers
    assert by_hand.extensions["timeout"] == by_httpx.extensions["timeout"]
