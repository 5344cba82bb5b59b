"""The application: routes, error answers, and the middleware around them."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.emulator.account import account_routes
from airflow_provider_gptimg.emulator.control import control_routes
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.fault_middleware import FaultMiddleware
from airflow_provider_gptimg.emulator.files import file_routes
from airflow_provider_gptimg.emulator.home_page import home_page_routes
from airflow_provider_gptimg.emulator.http_middleware import CorsOnTheApi, Dated, HeadAsGet, Kept
from airflow_provider_gptimg.emulator.painting.renderer import Renderer
from airflow_provider_gptimg.emulator.service import service_routes
from airflow_provider_gptimg.emulator.shapes import REFERENCE
from airflow_provider_gptimg.emulator.state import Emulator

_DESCRIPTION = (
    "The gpt-image-2 image generation service on your own machine, for tests and for developing offline. "
    "Any key that starts with `sk-` is valid. This describes the service's reference; the setting `shapes` "
    "turns on other answer formats."
)


def create_app(emulator: Emulator | None = None) -> ASGIApp:
    """Return the ASGI application around ``emulator`` (default: a new one)."""
    emulator = emulator or Emulator()
    app = FastAPI(
        title="gptimg-emulator",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # the docs pages would load scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(service_routes(emulator))
    app.include_router(account_routes(emulator))
    app.include_router(file_routes(emulator, Renderer()))
    app.include_router(control_routes(emulator))
    app.include_router(home_page_routes(emulator))
    _answer_errors(app, emulator)
    # A fault may cut off the layers outside of it, so the state is saved inside.
    faulty = FaultMiddleware(Kept(app, emulator.keep), emulator)
    return Dated(CorsOnTheApi(HeadAsGet(faulty)), emulator.clock)


def _answer_errors(app: FastAPI, emulator: Emulator) -> None:
    """Put every error into the service's envelope, including the framework's own, such as an unknown path."""

    def answer(request: Request, error: ApiError) -> JSONResponse:
        if not request.url.path.startswith("/v1/"):
            return error.response(REFERENCE)
        shape = emulator.settings.shape
        return error.response(shape, status=200 if shape.errors_in_200 else None)

    async def api_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)  # noqa: S101 - registered for nothing else
        error.headers = {**getattr(request.state, "headers", {}), **error.headers}
        return answer(request, error)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        headers = dict(error.headers or {})
        if "GET" in headers.get("Allow", ""):
            headers["Allow"] += ", HEAD"
        return answer(request, ApiError(error.status_code, headers=headers))

    async def unexpected_error(request: Request, _error: Exception) -> JSONResponse:
        return answer(request, ApiError(500))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected_error)
