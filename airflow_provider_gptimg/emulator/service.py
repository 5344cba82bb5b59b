"""Routes to submit, to look a generation up, and to upload (contract: Submit, Status, Upload)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from airflow_provider_gptimg.emulator import auth, openapi
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.fault_middleware import GENERATIONS, UPLOAD_FILES, UPLOADS
from airflow_provider_gptimg.emulator.json_bodies import read_body, read_object, require_json
from airflow_provider_gptimg.emulator.limits import QUERY, SUBMIT
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.submission import parse_submission
from airflow_provider_gptimg.emulator.task_answers import base_url, task_answer
from airflow_provider_gptimg.emulator.uploads import MAX_UPLOAD, UploadError

MAX_UPLOAD_BODY = 2 * MAX_UPLOAD
"""A larger body is not even read: 413. A file just over the limit gets the service's own 400."""


def service_routes(emulator: Emulator) -> APIRouter:
    """Return the routes of the service, bound to ``emulator``."""
    router = APIRouter(tags=["service"])

    @router.post(GENERATIONS, **openapi.SUBMIT)
    async def submit(request: Request) -> JSONResponse:
        """Submit a generation. An accepted submission is billed."""
        key = auth.authorized(request, emulator)
        _limited(emulator, SUBMIT, request)
        require_json(request)
        body = await read_object(request)
        task = emulator.submit(parse_submission(body, emulator.settings.size_table), key)
        return JSONResponse(task_answer(task, emulator, request), headers=request.state.headers)

    @router.get(f"{GENERATIONS}/{{generation_id:path}}", **openapi.STATUS)
    async def status(request: Request, generation_id: str) -> JSONResponse:
        """Look a generation up, by its id or by the ``client_business_id`` of its submission."""
        auth.authorized(request, emulator)
        _limited(emulator, QUERY, request)
        task = emulator.look(generation_id)
        return JSONResponse(task_answer(task, emulator, request), headers=request.state.headers)

    @router.post(UPLOADS, **openapi.UPLOAD)
    async def upload(request: Request) -> JSONResponse:
        """Upload a picture, so that its URL can be used in ``reference_images``."""
        auth.authorized(request, emulator)
        try:
            stored = emulator.upload(await _file(request))
        except UploadError as error:
            message = error.chinese if emulator.settings.shape.chinese else str(error)
            return JSONResponse({"success": False, "message": message}, 400)
        data = {
            "id": stored.name.partition(".")[0],
            "url": f"{base_url(request)}{UPLOAD_FILES}{stored.name}",
            "mime_type": stored.mime_type,
            "size": len(stored.content),
        }
        return JSONResponse({"success": True, "message": "", "data": data})

    return router


def _limited(emulator: Emulator, category: str, request: Request) -> None:
    """Take one of the account's tokens, or answer 429. The answer says what is left in both cases."""
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
        raise UploadError(f"The multipart body cannot be read: {error.detail}", "无法解析上传内容") from None
    raise UploadError("No file: send the picture as the multipart field 'file'.", "未找到上传文件")
