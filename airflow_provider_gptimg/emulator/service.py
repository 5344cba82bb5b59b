"""The service's own endpoints, under ``/v1``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from airflow_provider_gptimg.emulator import auth, openapi
from airflow_provider_gptimg.emulator.fault_middleware import GENERATIONS, RESULT_FILES, UPLOAD_FILES, UPLOADS
from airflow_provider_gptimg.emulator.json_bodies import (
    ApiError,
    read_body,
    read_object,
    require_json,
)
from airflow_provider_gptimg.emulator.ledger import dollars
from airflow_provider_gptimg.emulator.limits import QUERY, SUBMIT
from airflow_provider_gptimg.emulator.state import Emulator, Task
from airflow_provider_gptimg.emulator.submission import parse_submission
from airflow_provider_gptimg.emulator.uploads import MAX_UPLOAD, UploadError

MAX_UPLOAD_BODY = 2 * MAX_UPLOAD
"""Beyond this the body is not even read: 413. A file just over the limit gets the service's own 400."""


def service_routes(emulator: Emulator) -> APIRouter:
    """Return the routes of the service, bound to ``emulator``."""
    router = APIRouter(tags=["service"])

    @router.post(GENERATIONS, **openapi.SUBMIT)
    async def submit(request: Request) -> JSONResponse:
        """Submit a generation. Accepted means billed."""
        key = auth.authorized(request, emulator)
        _limited(emulator, SUBMIT, request)
        require_json(request)
        task = emulator.submit(parse_submission(await read_object(request)), key)
        return JSONResponse(task_view(task, emulator, request), headers=request.state.headers)

    @router.get(f"{GENERATIONS}/{{generation_id:path}}", **openapi.STATUS)
    async def status(request: Request, generation_id: str) -> JSONResponse:
        """Look a generation up, by its id or by the ``client_business_id`` of its submission."""
        auth.authorized(request, emulator)
        _limited(emulator, QUERY, request)
        task = emulator.find(generation_id)
        emulator.ledger.entries[task.id].polls += 1
        return JSONResponse(task_view(task, emulator, request), headers=request.state.headers)

    @router.post(UPLOADS, **openapi.UPLOAD)
    async def upload(request: Request) -> JSONResponse:
        """Upload a picture, to name its URL among the ``reference_images``."""
        auth.authorized(request, emulator)
        try:
            stored = emulator.uploads.add(await _file(request))
        except UploadError as error:
            return JSONResponse({"success": False, "message": str(error)}, 400)
        data = {
            "id": stored.name.partition(".")[0],
            "url": f"{base_url(request)}{UPLOAD_FILES}{stored.name}",
            "mime_type": stored.mime_type,
            "size": len(stored.content),
        }
        return JSONResponse({"success": True, "message": "", "data": data})

    @router.get("/v1/balance", **openapi.BALANCE)
    async def balance(request: Request) -> JSONResponse:
        """Tell what is left in the account. A key nobody knows is told so with status 200."""
        auth.agent(request, emulator)
        key = auth.bearer(request)
        if key.startswith("sk-invalid"):
            return JSONResponse({"success": False, "message": "The API key is not valid."})
        emulator.settle()
        left = 0 if key.startswith("sk-broke") else emulator.ledger.balance
        return JSONResponse(
            {
                "success": True,
                "remain_balance": dollars(left),
                "used_balance": dollars(emulator.ledger.used),
                "unlimited_quota": False,
            }
        )

    return router


def base_url(request: Request) -> str:
    """Return where the client reached the emulator, so that URLs work for whoever asked."""
    return str(request.base_url).rstrip("/")


def task_view(task: Task, emulator: Emulator, request: Request) -> dict[str, Any]:
    """Return a task as the service shows it at this moment (contract: Submit, Status)."""
    now = emulator.clock.now()
    submission = task.submission
    status = task.status(now)
    view: dict[str, Any] = {
        "id": task.id,
        "object": "generation.task",
        "model": submission.model,
        "status": status,
        "progress": task.progress(now),
        "created_at": int(task.accepted_at),
        "metadata": {},
    }
    if submission.client_business_id and not emulator.settings.ignore_business_id:
        view["client_business_id"] = submission.client_business_id
    if status == "completed":
        folder = f"{base_url(request)}{RESULT_FILES}{task.id}"
        view["completed_at"] = task.completed_at
        view["expires_at"] = task.expires_at
        view["result"] = {
            "type": "image",
            "data": [{"url": f"{folder}/{index}.png"} for index in range(submission.n)],
        }
    elif status == "failed":
        view["error"] = {"code": "generation_failed", "message": "The generation failed and was refunded."}
    return view


def _limited(emulator: Emulator, category: str, request: Request) -> None:
    """Take a token of the account, or answer 429; either way the answer will say what is left."""
    decision = emulator.limiter.take(category)
    request.state.headers = decision.headers
    if not decision.allowed:
        emulator.ledger.requests.rate_limited += 1
        raise ApiError(429)


async def _file(request: Request) -> bytes:
    """Return the content of the multipart field ``file``."""
    body = await read_body(request, MAX_UPLOAD_BODY)

    async def replay() -> Message:
        return {"type": "http.request", "body": body}

    try:
        async with Request(request.scope, replay).form() as form:
            file = form.get("file")
            if isinstance(file, UploadFile):
                return await file.read()
    except HTTPException as error:  # the multipart body is broken
        raise UploadError(f"The multipart body cannot be read: {error.detail}") from None
    raise UploadError("No file: send the picture as the multipart field 'file'.")
