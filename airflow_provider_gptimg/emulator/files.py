"""The pictures themselves, served without a key, as a content delivery network does."""

from __future__ import annotations

import hashlib
import re

from fastapi import APIRouter, Request, Response

from airflow_provider_gptimg.emulator import openapi
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.fault_middleware import RESULT_FILES, UPLOAD_FILES
from airflow_provider_gptimg.emulator.painting.renderer import Picture, Renderer
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.tasks import Task

_NAME = re.compile(r"(0|[1-9][0-9]{0,5})\.png")


def file_routes(emulator: Emulator, renderer: Renderer) -> APIRouter:
    """Return the routes of results and uploads."""
    router = APIRouter(tags=["files"])

    @router.get(f"{RESULT_FILES}{{generation_id}}/{{name}}", **openapi.RESULT_FILE)
    async def result(request: Request, generation_id: str, name: str) -> Response:
        """Download one image of a completed generation, until it expires."""
        task, index = _completed(emulator, generation_id, name)
        left = task.expires_at - emulator.clock.now()
        if left <= 0:
            raise ApiError(410, message=f"This image expired; {generation_id} must be submitted again.")
        picture = picture_of(task, index, emulator)
        headers = _caching(picture.fingerprint, left)
        if _is_cached(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(await renderer.png(picture), media_type="image/png", headers=headers)

    @router.get(f"{UPLOAD_FILES}{{name}}", **openapi.UPLOAD_FILE)
    async def uploaded(request: Request, name: str) -> Response:
        """Download an uploaded picture, until it expires."""
        upload = emulator.uploads.get(name)
        if upload is None:
            raise ApiError(404)
        left = upload.expires_at - emulator.clock.now()
        if left <= 0:
            raise ApiError(410)
        headers = _caching(hashlib.sha256(upload.content).hexdigest(), left)
        if _is_cached(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(upload.content, media_type=upload.mime_type, headers=headers)

    @router.get("/_emulator/preview/{generation_id}/{name}", include_in_schema=False)
    async def preview(generation_id: str, name: str) -> Response:
        """Return a small picture for the home page. It does not count as a download."""
        task, index = _completed(emulator, generation_id, name)
        small = picture_of(task, index, emulator).scaled(480)
        return Response(
            await renderer.png(small), media_type="image/png", headers=_caching(small.fingerprint, 60)
        )

    return router


def picture_of(task: Task, index: int, emulator: Emulator) -> Picture:
    """Return the description of a task's picture at ``index``."""
    submission = task.submission
    inset = None
    for url in submission.reference_images:
        _, found, name = url.partition(UPLOAD_FILES)
        upload = emulator.uploads.get(name) if found else None
        if upload and upload.expires_at > task.accepted_at:
            inset = upload.content
            break
    return Picture(
        prompt=submission.prompt,
        label=f"{submission.model}  ·  {submission.size}  ·  {submission.tier}",
        pixels=submission.pixels,
        seed=task.seed,
        index=index,
        transparent=submission.transparent,
        inset=inset,
    )


def _completed(emulator: Emulator, generation_id: str, name: str) -> tuple[Task, int]:
    task = emulator.tasks.get(generation_id)
    match = _NAME.fullmatch(name)
    if task is None or match is None or int(match[1]) >= task.submission.n:
        raise ApiError(404)
    if task.status(emulator.clock.now()) != "completed":
        raise ApiError(404)
    return task, int(match[1])


def _caching(fingerprint: str, seconds: float) -> dict[str, str]:
    return {"ETag": f'"{fingerprint[:32]}"', "Cache-Control": f"public, max-age={int(seconds)}, immutable"}


def _is_cached(request: Request, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    return etag in known or "*" in known
