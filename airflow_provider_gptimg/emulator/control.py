"""The control endpoints, under ``/_emulator``: ledger, faults, clock, settings."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from airflow_provider_gptimg.emulator import control_models, openapi
from airflow_provider_gptimg.emulator.errors import ApiError
from airflow_provider_gptimg.emulator.faults import Rules
from airflow_provider_gptimg.emulator.json_bodies import read_object
from airflow_provider_gptimg.emulator.ledger import dollars
from airflow_provider_gptimg.emulator.state import Emulator

M = TypeVar("M", bound=BaseModel)


def control_routes(emulator: Emulator) -> APIRouter:
    """Return the control routes, bound to ``emulator``. They need no key and no content type."""
    router = APIRouter(prefix="/_emulator", tags=["emulator"])

    @router.get("/ledger", **openapi.LEDGER)
    async def ledger() -> JSONResponse:
        """Return what was accepted, billed, refunded and requested so far."""
        return JSONResponse(ledger_view(emulator))

    @router.post("/reset", **openapi.RESET)
    async def reset() -> JSONResponse:
        """Start again from nothing, with the initial settings."""
        emulator.reset()
        return JSONResponse(ledger_view(emulator))

    @router.post("/faults", **openapi.FAULTS)
    async def faults(request: Request) -> JSONResponse:
        """Replace the fault rules; an empty list clears them."""
        rules = await _read(request, Rules)
        emulator.faults.replace(rules.rules)
        return JSONResponse({"rules": [rule.model_dump() for rule in rules.rules]})

    @router.post("/clock", **openapi.CLOCK)
    async def clock(request: Request) -> JSONResponse:
        """Move the emulator's clock forward: tasks complete, results expire, limits refill."""
        change = await _read(request, control_models.Advance)
        return JSONResponse({"now": emulator.clock.advance(change.advance)})

    @router.post("/config", **openapi.CONFIG)
    async def config(request: Request) -> JSONResponse:
        """Change settings while running, until the next reset; ``{}`` only reads them."""
        changes = await _read(request, control_models.Configuration)
        try:
            emulator.configure(changes.model_dump(exclude_unset=True))
        except ValueError as error:
            raise ApiError(400, message=str(error)) from None
        return JSONResponse(emulator.current())

    return router


def ledger_view(emulator: Emulator) -> dict[str, Any]:
    """Return the ledger as the control endpoint shows it; money in dollars."""
    emulator.settle()
    now = emulator.clock.now()
    ledger = emulator.ledger
    submissions = []
    for task in emulator.tasks.values():
        entry = ledger.entries[task.id]
        submissions.append(
            {
                "id": task.id,
                "client_business_id": task.submission.client_business_id,
                "key_tail": task.key_tail,
                "model": task.submission.model,
                "n": task.submission.n,
                "status": task.status(now),
                "accepted_at": round(task.accepted_at, 3),
                "finishes_at": round(task.finishes_at, 3),
                "billed": dollars(entry.billed),
                "refunded": dollars(entry.refunded),
                "polls": entry.polls,
            }
        )
    return {
        "submissions": submissions,
        "requests": vars(ledger.requests),
        "balance": dollars(ledger.balance),
    }


async def _read(request: Request, model: type[M]) -> M:
    """Read the body as ``model``, or answer 400 with what is wrong and where."""
    body = await read_object(request)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = (f"{_place(item['loc'])}: {item['msg']}" for item in error.errors(include_url=False))
        raise ApiError(400, message="; ".join(problems)) from None


def _place(location: tuple[int | str, ...]) -> str:
    """Return a location as text, such as ``rules[0].kind``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "body"
