"""Explains connection errors to people who fill in a form and do not read code."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from airflow_provider_gptimg.api.balance import Balance, ask
from airflow_provider_gptimg.api.client import SyncClient
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.hooks.connection_form import label_of
from airflow_provider_gptimg.provider_info import CONN_FIELDS

LONGEST = 5.0
"""Seconds that a test waits for the next bytes, a quarter of its longest time. Somebody is waiting for it."""

MASKED = "***"
"""Airflow shows this instead of a secret. The Test button of Airflow 3.0 sends it back as the key."""


def examined(settings: Settings, extra: Iterable[str] = ()) -> tuple[bool, str]:
    """Ask once for the balances, free of charge. Return whether images can be made, and a message.

    :param extra: the names in the connection's extra.
    """
    if settings.api_key == MASKED:
        return False, _MASKED_KEY.format(password=label_of("password"), masked=MASKED)
    try:
        with SyncClient(replace(settings, timeout=min(settings.timeout, LONGEST))) as client:
            # Asked once: a service that says "later" is to be heard of now.
            balance = client.run(ask(clock=time.time, give_up_at=0.0, attempts=1))
    except ApiError as error:
        return False, reason(error, settings)
    works, message = _judged(balance, settings.base_url)
    return works, f"{message}{_strangers(extra)}" if works else message


def _judged(balance: Balance, url: str) -> tuple[bool, str]:
    """Return whether a balance buys an image, and what to know. Both limits count, the account's first."""
    key, account = balance.key_usd, balance.account_usd
    quota = f"the key's quota is {_amount(key)}"
    details = f"Details: {quota}, the account's balance is {_amount(account, 'unknown')}."
    if account is not None and account <= 0:
        return False, f"{_NO_BALANCE.format(url=url)} {details}"
    if key is not None and key <= 0:
        advice = _NO_BALANCE if account is None else _NO_QUOTA
        return False, f"{advice.format(url=url)} {details}"
    if account is None:
        return True, f"Connected to {url}. The service does not report the account's balance; {quota}."
    return True, f"Connected to {url}. Balance: {_amount(account)}; {quota}."


def field_reason(field: str | None, message: str) -> str:
    """Return the message for a field whose value is not allowed, with the field's label in the form."""
    return f'Field "{label_of(field)}": {message}' if field else message


def reason(error: ApiError, settings: Settings) -> str:
    """Return what to do about an error of a connection test, followed by the error itself."""
    if error.kind is Kind.INVALID:
        return field_reason(error.field, error.message)
    if error.kind is Kind.UNREACHABLE:
        advice = _unreachable(error.message, settings)
    elif error.status == 407:
        advice = _PROXY_REFUSES.format(proxy=label_of("proxy"))
    else:
        advice = _ADVICE.get(error.kind, _OTHER_SITE).format(
            url=settings.base_url, host=label_of("host"), password=label_of("password")
        )
    return f"{advice} Details: {error.message}"


# Airflow's page shows them for five seconds, so what to do comes first, and in few words.
_MASKED_KEY = (
    "Airflow sent {masked} instead of the API key, as its Test button does in some versions. Run "
    '"airflow connections test" instead, with the name of this connection.'
)

_NO_BALANCE = "No balance left at {url}. Top up the account; the API key is correct."

_NO_QUOTA = "The quota of this API key is used up at {url}. Raise its limit there, or use another key."

_OTHER_SITE = (
    "{url} is not the image service: another website answers there, or a login page. "
    'Check the field "{host}".'
)

_PROXY_REFUSES = (
    'The proxy requires a user name and a password. Put them into its address, in the field "{proxy}": '
    "http://name:password@proxy.example:3128."
)

_TROUBLE = "The service at {url} has a problem. Change nothing, and test again in a few minutes."

_ADVICE = {
    Kind.AUTHENTICATION: (
        'Wrong API key: {url} does not know it. Copy the whole key again into the field "{password}".'
    ),
    Kind.QUOTA: _NO_BALANCE,
    Kind.PERMISSION: (
        "{url} refuses this API key or this machine. Ask the service, or the administrator of your firewall."
    ),
    Kind.RATE_LIMITED: "This account is making too many calls. Test again in a minute.",
    Kind.UNAVAILABLE: _TROUBLE,
    Kind.MODEL_UNAVAILABLE: _TROUBLE,
}

_NO_CONNECTION = (
    'No connection to {peer}, or the connection was lost. Check the field "{field}", and the network.'
)

_CAUSES = (
    # What the system, OpenSSL and httpx say, and what that means.
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        (
            "This machine does not trust the certificate of {peer}. If your own certificate authority "
            'signed it, put the path of the authority\'s file into the field "{verify}".'
        ),
    ),
    (
        ("SSL", "TLS"),
        (
            "No encrypted connection to {peer}. If it is in your own network, its address in the field "
            '"{field}" may have to begin with http://.'
        ),
    ),
    (
        ("Name or service not known", "getaddrinfo", "name resolution", "No address", "nodename"),
        'Unknown host name: {peer}. Check its spelling in the field "{field}", and the network.',
    ),
    (("407",), _PROXY_REFUSES),
    (("refused",), 'Nothing is listening at {peer}. Check the address and port in the field "{field}".'),
    (
        ("timed out",),
        'No answer in time from {peer}. Check the field "{field}"; behind a firewall, fill in "{proxy}".',
    ),
)


def _unreachable(said: str, settings: Settings) -> str:
    known = (advice for signs, advice in _CAUSES if any(sign in said for sign in signs))
    # With a proxy, its name and its port are what this machine tries to reach.
    peer, field = ("the proxy", "proxy") if settings.proxy else (settings.base_url, "host")
    return next(known, _NO_CONNECTION).format(
        peer=peer, field=label_of(field), verify=label_of("verify"), proxy=label_of("proxy")
    )


def _strangers(extra: Iterable[str]) -> str:
    names = ", ".join(sorted(set(extra) - set(CONN_FIELDS)))
    return f" The extra has unknown settings, which are ignored: {shorten(names)}." if names else ""


def _amount(usd: float | None, unknown: str = "unlimited") -> str:
    return unknown if usd is None else f"{usd:,.4f}".rstrip("0").rstrip(".") + " USD"
