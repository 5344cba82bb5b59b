"""The application: routes, error envelopes, and the middleware around them."""

from __future__ import annotations

from email.utils import formatdate

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.control import control_routes
from airflow_provider_gptimg.emulator.fault_middleware import FaultMiddleware
from airflow_provider_gptimg.emulator.files import file_routes
from airflow_provider_gptimg.emulator.home_page import home_page_routes
from airflow_provider_gptimg.emulator.json_bodies import ApiError
from airflow_provider_gptimg.emulator.painting.renderer import Renderer
from airflow_provider_gptimg.emulator.service import service_routes
from airflow_provider_gptimg.emulator.state import Emulator

_DESCRIPTION = (
    "The gpt-image-2 image generation service on your own machine, for tests and for developing offline. "
    "Any key that starts with `sk-` is good."
)


def create_app(emulator: Emulator | None = None) -> ASGIApp:
    """Return the ASGI application around ``emulator`` (default: a new one)."""
    emulator = emulator or Emulator()
    app = FastAPI(
        title="gptimg-emulator",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # their pages would load scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(service_routes(emulator))
    app.include_router(file_routes(emulator, Renderer()))
    app.include_router(control_routes(emulator))
    app.include_router(home_page_routes(emulator))
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return Dated(FaultMiddleware(app, emulator), emulator.clock)


class Dated:
    """Middleware: dates every answer by the emulator's clock, as a server whose clock is right."""

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


async def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for nothing else
    error.headers = {**getattr(request.state, "headers", {}), **error.headers}
    return error.response()


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    """Put the framework's own errors, such as an unknown path, into the service's envelope."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return ApiError(error.status_code, headers=error.headers).response()


async def _unexpected_error(_request: Request, _error: Exception) -> JSONResponse:
    return ApiError(500).response()
