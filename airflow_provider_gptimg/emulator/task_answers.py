"""A task as the service's answers show it (contract: Submit, Status, What it cost)."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from airflow_provider_gptimg.emulator.errors import CHINESE
from airflow_provider_gptimg.emulator.fault_middleware import RESULT_FILES
from airflow_provider_gptimg.emulator.ledger import as_text, credits_of, dollars
from airflow_provider_gptimg.emulator.models import MODELS
from airflow_provider_gptimg.emulator.shapes import Shape
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.tasks import Task

_FAILED = "generation_failed"


def base_url(request: Request) -> str:
    """Return the base URL that the client used, so that URLs in the answer work for this client."""
    return str(request.base_url).rstrip("/")


def task_answer(task: Task, emulator: Emulator, request: Request) -> dict[str, Any]:
    """Return a task as the service shows it now, in the shape that the settings select."""
    emulator.settle()
    now = emulator.clock.now()
    submission, shape = task.submission, emulator.settings.shape
    status = task.status(now)
    answer: dict[str, Any] = {
        "id": task.id,
        "object": "generation.task",
        "model": submission.model,
        "status": _shown(status, submission.model, shape),
        "progress": task.progress(now),
        "created_at": int(task.accepted_at),
        "metadata": {},
    }
    if submission.client_business_id and not emulator.settings.ignore_business_id:
        answer["client_business_id"] = submission.client_business_id
    if status == "completed":
        folder = f"{base_url(request)}{RESULT_FILES}{task.id}"
        answer["completed_at"] = task.completed_at
        answer["expires_at"] = task.expires_at
        answer |= shape.result([f"{folder}/{index}.png" for index in range(submission.n)])
        answer |= _billing("settled", emulator.ledger.entries[task.id].paid, shape)
    elif status == "failed":
        message = CHINESE[_FAILED] if shape.chinese else "The generation failed and was refunded."
        answer |= shape.failure(_FAILED, message)
        answer |= _billing("refunded", emulator.ledger.entries[task.id].paid, shape)
    return answer


def _shown(status: str, model: str, shape: Shape) -> str:
    """Return the name of a status in answers."""
    if status == "queued":
        return shape.queued or MODELS[model].first_status
    return shape.in_progress if status == "in_progress" else status


def _billing(status: str, paid: int, shape: Shape) -> dict[str, Any]:
    return shape.billing(status, as_text(credits_of(paid)), as_text(dollars(paid)))
