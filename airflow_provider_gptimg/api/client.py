"""The HTTP client, which drives flows over a socket. Only this module imports httpx."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import anyio
import httpx

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.api.download import Fetched
from airflow_provider_gptimg.api.environment import check_certificates, unusable
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Flow, Send, Sleep, T
from airflow_provider_gptimg.api.interruption import Interruption
from airflow_provider_gptimg.api.polling.query_queue import Turnstile
from airflow_provider_gptimg.api.polling.rate_limit import Buckets
from airflow_provider_gptimg.api.polling.schedule import Schedules
from airflow_provider_gptimg.api.response_body import Answer
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.watchdog import Watchdog
from airflow_provider_gptimg.api.wire import Reply, Request

USER_AGENT = f"airflow-provider-gptimg/{__version__}"
"""The default of an HTTP library may get a 403 (contract: Base and auth)."""

CONNECT_TIMEOUT = 10.0
"""Seconds to make a connection, unless the settings allow less."""

LANE_CONNECTIONS = 1
MAX_LANES = 96
"""An event loop's connections, each in its own pool. Before and after each request, httpx checks every
connection of a pool. With a hundred of them that costs more than the call."""

# httpx logs each URL at INFO, and httpcore each answer's headers at DEBUG. In a triggerer that is thousands
# of lines, and generation ids are enough to follow a wait. A level that a user has set is kept.
for _name in ("httpx", "httpcore"):
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.WARNING)


class SyncClient:
    """Drives flows in the calling thread.

    :param transport: takes the requests instead of the network (tests).
    :param sleep: replaces ``time.sleep`` (tests).
    :param interruption: ends every wait and every call but a submission, whose answer says what was paid.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        buckets: Buckets | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        interruption: Interruption | None = None,
    ) -> None:
        self._settings = settings
        self._interruption = interruption or Interruption()
        self._buckets = buckets or Buckets(settings.limits)
        self._sleep = sleep
        self._http = _opened(httpx.Client, settings, transport)
        self._watchdog = Watchdog()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._watchdog.close()

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return its result.

        :raises ApiError: whatever the flow raises.
        """
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        reply = self._perform(step)
                    except ApiError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result

    def _perform(self, step: Send | Sleep) -> Reply | None:
        if isinstance(step, Send):
            return self._send(step.request)
        self._pause(step.seconds)
        return None

    def _pause(self, seconds: float) -> None:
        with self._interruption.reaches():
            self._sleep(seconds)

    def _send(self, request: Request) -> Reply:
        for seconds in self._buckets.turns(request.category):
            self._pause(seconds)
        if request.category == "submit":
            self._interruption.check()
            return self._answered(request)
        with self._interruption.reaches():
            return self._answered(request)

    def _answered(self, request: Request) -> Reply:
        answer = Answer(request, self._settings)
        extensions = {"trace": self._watchdog.trace}
        try:
            with (
                self._watchdog.limit(answer.longest),
                self._http.stream(**_arguments(request), extensions=extensions) as response,
            ):
                answer.begin(response.headers)
                for chunk in response.iter_bytes():
                    answer.add(chunk)
        except _NO_ANSWER as error:
            raise _broken(answer, error) from None
        reply = answer.reply(response.status_code, response.headers)
        self._buckets.heed(request.category, reply)
        return reply


@contextmanager
def fetch(settings: Settings, url: str, transport: httpx.BaseTransport | None = None) -> Iterator[Fetched]:
    """Get a result URL on any host, without the key. The caller handles redirects.

    :raises ApiError: kind UNREACHABLE, also while the chunks are read.
    """
    with _settings_blamed(settings):
        options = {**_options(settings), "base_url": "", "headers": {"User-Agent": USER_AGENT}}
        client = httpx.Client(transport=transport, **options)
    try:
        with (
            client as http,
            http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            headers = {name.lower(): value for name, value in response.headers.items()}
            # Chunks as they arrive: with a fixed size, a dripping server would never count as too slow.
            yield Fetched(response.status_code, headers, response.iter_raw())
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise ApiError(
            Kind.UNREACHABLE, f"The image could not be fetched ({type(error).__name__})."
        ) from None


class AsyncClient:
    """Drives flows on an event loop; parameters as for :class:`SyncClient`.

    :param schedules: what was learned about the durations of the account's generations.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        buckets: Buckets | None = None,
        schedules: Schedules | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.schedules = schedules or Schedules()
        self.prices = settings.prices
        self._settings = settings
        self._buckets = buckets or Buckets(settings.limits)
        self._turnstile = Turnstile(self._buckets.queries, LANE_CONNECTIONS * MAX_LANES)
        self._sleep = sleep
        self._transport = transport
        self._lanes: list[_Lane] = []

    async def aclose(self) -> None:
        """Close the connections."""
        for lane in self._lanes:
            await lane.http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return its result.

        :raises ApiError: whatever the flow raises.
        """
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        reply = await self._perform(step)
                    except ApiError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result

    async def _perform(self, step: Send | Sleep) -> Reply | None:
        if isinstance(step, Send):
            if step.request.category == "query":
                return await self._query(step)
            for seconds in self._buckets.turns(step.request.category):
                await self._sleep(seconds)
            return await self._send(step.request)
        await self._sleep(step.seconds)
        return None

    async def _query(self, step: Send) -> Reply:
        await self._turnstile.enter(step.worth or _most)
        try:
            return await self._send(step.request)
        finally:
            self._turnstile.leave()

    async def _send(self, request: Request) -> Reply:
        answer = Answer(request, self._settings)
        lane = self._free_lane()
        lane.calls += 1
        try:
            # httpx limits each read. A head that comes byte by byte could stay within that limit for weeks.
            with anyio.fail_after(answer.longest):
                built = _built(lane.http, self._settings.base_url, request)
                response = await lane.http.send(built, stream=True)
                try:
                    headers = _headers_of(response)
                    answer.begin(headers)
                    async for chunk in response.aiter_raw():
                        answer.add(chunk)
                finally:
                    await response.aclose()
        except _NO_ANSWER as error:
            raise _broken(answer, error) from None
        finally:
            lane.calls -= 1
        reply = answer.reply(response.status_code, headers)
        self._buckets.heed(request.category, reply)
        return reply

    def _free_lane(self) -> _Lane:
        """Return the first lane with a free connection, so that the first ones stay warm."""
        for lane in self._lanes:
            if lane.calls < LANE_CONNECTIONS:
                return lane
        if len(self._lanes) < MAX_LANES:
            http = _opened(_AsyncHttp, self._settings, self._transport)
            self._lanes.append(_Lane(http))
            return self._lanes[-1]
        return min(self._lanes, key=lambda lane: lane.calls)


def _built(http: httpx.AsyncClient, base_url: str, request: Request) -> httpx.Request:
    if request.category != "query":
        return http.build_request(**_arguments(request))
    # There are thousands of these. Base URL, headers, cookies and parameters are the same for all, and
    # merging them each time in httpx was a fifth of the cost of a call.
    extensions = {"timeout": http.timeout.as_dict()}
    url = _url(f"{base_url}{request.path}")
    return httpx.Request("GET", url, headers=http.headers, extensions=extensions)


@lru_cache(maxsize=4096)
def _url(text: str) -> httpx.URL:
    """Return a parsed address. Every wait uses the same one again and again."""
    return httpx.URL(text)


def _headers_of(response: httpx.Response) -> dict[str, str]:
    """Return the headers by lower-case name. httpx guesses their encoding at each access."""
    return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers.raw}


class _NoCookies(httpx.Cookies):
    """Ignores cookies. Reading them was a fifteenth of the cost of a call."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore the cookies."""


class _AsyncHttp(httpx.AsyncClient):
    """An httpx client without cookies."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIE_JAR

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise NotImplementedError


_NO_COOKIE_JAR = _NoCookies()


@dataclass
class _Lane:
    """A small connection pool, and the number of its running calls."""

    http: httpx.AsyncClient
    calls: int = 0


def _most() -> float:
    return math.inf


_NO_COOKIES = DefaultCookiePolicy(allowed_domains=())
_LANE = httpx.Limits(
    max_connections=LANE_CONNECTIONS, max_keepalive_connections=LANE_CONNECTIONS, keepalive_expiry=30.0
)
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _broken(answer: Answer, error: Exception) -> ApiError:
    return answer.broken(
        error,
        timed_out=isinstance(error, (httpx.TimeoutException, TimeoutError)),
        # Other errors of httpx can quote a header of the request.
        quotable=isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError)),
        never_sent=isinstance(error, _NEVER_SENT),
    )


@lru_cache(maxsize=8)
def _ssl_context(verify: bool | str) -> ssl.SSLContext:
    # Reading the CA bundle takes tens of milliseconds of CPU, so it is done once per process.
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return httpx.create_ssl_context(verify=verify)


_warming = threading.Lock()


def warm_up(settings: Settings) -> None:
    """Do the slow parts of a first async call. Run it in a thread, so that no event loop waits for it.

    It reads the CA bundle, and loads the library with which httpx uses the event loop.
    """
    with _warming, _settings_blamed(settings):
        _ssl_context(settings.verify)
        if "anyio._backends._asyncio" not in sys.modules:
            anyio.run(anyio.sleep, 0)


_Http = TypeVar("_Http", httpx.Client, httpx.AsyncClient)


def _opened(kind: Callable[..., _Http], settings: Settings, transport: Any) -> _Http:
    with _settings_blamed(settings):
        return kind(transport=transport, **_options(settings))


@contextmanager
def _settings_blamed(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (OSError, ImportError, ValueError, httpx.InvalidURL) as error:
        raise unusable(error, settings) from None


def _options(settings: Settings) -> dict[str, Any]:
    check_certificates(settings)
    return {
        "base_url": settings.base_url,
        "headers": {
            "Authorization": f"Bearer {settings.api_key}",
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            # Answers are small. An uncompressed one cannot blow up in memory.
            "Accept-Encoding": "identity",
        },
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "limits": _LANE,
        "verify": _ssl_context(settings.verify),
        "proxy": settings.proxy,
        # A redirect could send the key, or a paid request, to another place.
        "follow_redirects": False,
        # The environment's proxy would see the key in plain text, and cannot reach this machine.
        "trust_env": not settings.is_local,
        # Cookies would pile up from answer to answer.
        "cookies": CookieJar(_NO_COOKIES),
    }


def _arguments(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {"method": request.method, "url": request.path}
    if request.body is not None:
        arguments |= {"content": request.body, "headers": {"Content-Type": "application/json"}}
    if request.file is not None:
        file = request.file
        arguments["files"] = {"file": (file.name, file.content, file.mime_type)}
    return arguments
