"""Routes of the key and its account: balances and models (contract: Balance, Base and auth)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from airflow_provider_gptimg.emulator import auth, openapi
from airflow_provider_gptimg.emulator.errors import CHINESE, ApiError
from airflow_provider_gptimg.emulator.ledger import CREDITS_PER_DOLLAR, credits_of, dollars
from airflow_provider_gptimg.emulator.models import MODELS
from airflow_provider_gptimg.emulator.state import Emulator

_MODELS_SINCE = 1_767_225_600
"""Unix seconds: ``created`` of every model. The contract gives no dates."""


def account_routes(emulator: Emulator) -> APIRouter:
    """Return the routes of the account, bound to ``emulator``. They are free and not limited."""
    router = APIRouter(tags=["service"])

    @router.get("/v1/balance", **openapi.BALANCE)
    async def key_balance(request: Request) -> JSONResponse:
        """Return what is left of this key's quota."""
        return _balance(request, emulator, of_account=False)

    @router.get("/v1/user/balance", **openapi.ACCOUNT_BALANCE)
    async def account_balance(request: Request) -> JSONResponse:
        """Return what is left in the account of this key."""
        if not emulator.settings.shape.account_balance:
            raise ApiError(404)
        return _balance(request, emulator, of_account=True)

    @router.get("/v1/models", **openapi.MODELS)
    async def models(request: Request) -> JSONResponse:
        """List the models that this key may use, all in one answer."""
        auth.authorized(request, emulator)
        common = {"object": "model", "created": _MODELS_SINCE, "owned_by": "gptimg-emulator"}
        return JSONResponse({"object": "list", "data": [{"id": name, **common} for name in MODELS]})

    return router


def _balance(request: Request, emulator: Emulator, *, of_account: bool) -> JSONResponse:
    shape = emulator.settings.shape
    auth.agent(request, emulator)
    key = auth.bearer(request)
    if auth.is_unknown(key):
        if not shape.unknown_key_in_200:
            raise ApiError(401, message=auth.UNKNOWN_KEY)
        message = CHINESE["unauthorized"] if shape.chinese else auth.UNKNOWN_KEY
        return JSONResponse({"success": False, "message": message})
    emulator.settle()
    left = 0 if auth.has_no_money(key) else emulator.ledger.balance
    unlimited = auth.has_no_quota(key) and not of_account
    remaining: dict[str, Any] = {
        "remain_balance": -1 if unlimited else dollars(left),
        "remain_credits": -1 if unlimited else credits_of(left),
    }
    used = emulator.ledger.used
    return JSONResponse(
        {
            "success": True,
            **remaining,
            "used_balance": dollars(used),
            "used_credits": credits_of(used),
            "credits_per_usd": CREDITS_PER_DOLLAR,
            "unlimited_quota": unlimited,
        }
    )
