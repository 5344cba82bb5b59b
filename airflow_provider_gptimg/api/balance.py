"""The money that a key may still spend, and the balance of its account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import CONNECT_ATTEMPTS, Clock, Flow, call
from airflow_provider_gptimg.api.prices import CREDITS_PER_USD
from airflow_provider_gptimg.api.wire import Reply, Request

_NOT_SERVED = frozenset({Kind.NOT_FOUND, Kind.BAD_REQUEST, Kind.PERMISSION, Kind.MALFORMED})
"""Errors of a compatible service that knows only the key's quota, when asked for the account."""


@dataclass(frozen=True)
class Balance:
    """What can be spent, in US dollars (contract: Balance). Both limits apply, so the smaller one counts.

    :param key_usd: what the key may still spend; None if it has no limit of its own.
    :param account_usd: the account's balance; None if it has no limit, or the service does not say.
    :param key_unlimited: whether the key has no limit of its own. The account's balance still limits it.
    """

    key_usd: float | None
    account_usd: float | None
    key_unlimited: bool

    @property
    def usd(self) -> float | None:
        """The US dollars that can be spent now, None if no limit is known."""
        return min((usd for usd in (self.key_usd, self.account_usd) if usd is not None), default=None)


def said(balance: Balance) -> str:
    """Describe a balance in a sentence."""
    if balance.key_unlimited or balance.key_usd is None:
        key = "has no limit of its own"
    else:
        key = f"may spend {balance.key_usd:.2f} USD"
    account = "is unknown" if balance.account_usd is None else f"is {balance.account_usd:.2f} USD"
    return f"The key {key}, and the account's balance {account}."


def ask(*, clock: Clock, give_up_at: float, attempts: int = CONNECT_ATTEMPTS) -> Flow[Balance]:
    """Ask for the key's quota and the account's balance, with two free calls.

    :param give_up_at: until when to wait out "slow down" answers, in Unix seconds.
    :param attempts: how often to send each call if no connection can be made.
    :raises ApiError: AUTHENTICATION for a key that the service does not know; any other failure.
    """

    def answer(request: Request) -> Flow[float | None]:
        return read((yield from call(request, clock=clock, give_up_at=give_up_at, attempts=attempts)))

    key_usd = yield from answer(wire.balance())
    try:
        account_usd = yield from answer(wire.account_balance())
    except ApiError as error:
        if error.kind not in _NOT_SERVED:
            raise
        account_usd = None
    return Balance(key_usd=key_usd, account_usd=account_usd, key_unlimited=key_usd is None)


def read(reply: Reply) -> float | None:
    """Read the answer to a balance query: US dollars, None if there is no limit.

    The credits count. The unit of ``remain_balance`` is a setting of the site. It is taken as US dollars
    only if the answer has no credits.

    :raises ApiError: kind AUTHENTICATION if it says ``success: false`` (the answer to an unknown key can
        be a 200 like this, contract: Balance); MALFORMED without a number.
    """
    answer = wire.json_object(reply)
    if answer.get("success") is False:
        message = f"The key was refused: {wire.said_in(answer)}."
        raise ApiError(Kind.AUTHENTICATION, message, status=reply.status)
    credits_, remaining = _number(answer, "remain_credits"), _number(answer, "remain_balance")
    unlimited = answer.get("unlimited_quota")
    if unlimited is True or (unlimited is not False and remaining == -1):
        return None
    if credits_ is not None:
        return credits_ / CREDITS_PER_USD
    if remaining is None:
        wire.malformed(reply, "has no remain_balance")
    return remaining


def _number(answer: Mapping[str, Any], name: str) -> float | None:
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None
