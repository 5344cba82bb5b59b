"""What went wrong with a connection, for people who fill in a form rather than read code."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from airflow_provider_gptimg.api import flows, wire
from airflow_provider_gptimg.api.client import SyncClient
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Flow
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.wire import Balance
from airflow_provider_gptimg.hooks.connection_form import label_of
from airflow_provider_gptimg.provider_info import CONN_FIELDS

LONGEST = 15.0
"""Seconds that one request of a test may take: somebody is looking at the page."""

MASKED = "***"
"""What Airflow shows instead of a secret. The Test button of Airflow 3.0 sends it back as if it were one."""


def examined(settings: Settings, extra: Iterable[str] = ()) -> tuple[bool, str]:
    """Ask once for the balance, which is free; return whether images can be made, and what to know.

    :param extra: the names that the connection's extra holds.
    """
    if settings.api_key == MASKED:
        return False, _MASKED_KEY.format(password=label_of("password"), masked=MASKED)
    try:
        with SyncClient(replace(settings, timeout=min(settings.timeout, LONGEST))) as client:
            balance = client.run(_ask())
    except ApiError as error:
        return False, reason(error, settings)
    left = "unlimited" if balance.unlimited else _amount(balance.remaining)
    if balance.remaining <= 0 and not balance.unlimited:
        return False, f"The API key works at {settings.base_url}, but the balance is {left}. Top it up."
    return True, f"Connected to {settings.base_url}. Balance: {left}.{_strangers(extra)}"


def field_reason(field: str | None, message: str) -> str:
    """Return the reason for a field whose value is not allowed, by the name that it has in the form."""
    return f'Field "{label_of(field)}": {message}' if field else message


def reason(error: ApiError, settings: Settings) -> str:
    """Return what to do about an error of a connection test, and the error itself."""
    if error.kind is Kind.INVALID:
        return _unusable(error, settings)
    if error.kind is Kind.UNREACHABLE:
        advice = _unreachable(error.message, settings)
    elif error.status == 407:
        advice = _PROXY_REFUSES.format(proxy=label_of("proxy"))
    else:
        advice = _ADVICE.get(error.kind, _OTHER_SITE).format(
            url=settings.base_url, host=label_of("host"), password=label_of("password")
        )
    return f"{advice} Details: {error.message}"


_MASKED_KEY = (
    "Airflow sent {masked} instead of the API key, as its Test button does in some versions. Run "
    '"airflow connections test" instead, with the name of this connection.'
)

_OTHER_SITE = (
    "{url} answers, but not as the image service does: it may be another website, or the login page of a "
    'network. Check the field "{host}"; it is https://toapis.com for most accounts.'
)

_PROXY_REFUSES = (
    'The proxy wants a name and a password. Put them into the field "{proxy}": '
    "http://name:password@proxy.example:3128."
)

_TROUBLE = "The service at {url} has trouble of its own. Change nothing, and test again in some minutes."

_ADVICE = {
    Kind.AUTHENTICATION: (
        'The service at {url} does not know this API key. Copy it whole into the field "{password}" again; '
        'it begins with "sk-".'
    ),
    Kind.QUOTA: "The API key works at {url}, but the account has no balance left. Top it up.",
    Kind.PERMISSION: (
        "The service at {url} refuses this API key or this machine. Ask the service whether the key is "
        "blocked; a firewall on the way may do that too."
    ),
    Kind.RATE_LIMITED: "The service at {url} got too many calls of this account. Test again in a minute.",
    Kind.UNAVAILABLE: _TROUBLE,
    Kind.MODEL_UNAVAILABLE: _TROUBLE,
}

_CAUSES = (
    # What the system, OpenSSL and httpx say, and what that means.
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        (
            "The certificate of {peer} is not one that this machine trusts. If an authority of your own "
            'signs certificates, put the path of its file into the field "{verify}".'
        ),
    ),
    (
        ("SSL", "TLS"),
        (
            "An encrypted connection to {peer} did not come about. If it is on this machine or in your own "
            'network, its address in the field "{field}" may have to begin with http://.'
        ),
    ),
    (
        ("Name or service not known", "getaddrinfo", "name resolution", "No address", "nodename"),
        (
            'The name of {peer} is not known. Check its spelling in the field "{field}", and whether this '
            "machine has a network."
        ),
    ),
    (("407",), _PROXY_REFUSES),
    (("refused",), 'Nothing listens at {peer}. Check the address and its port in the field "{field}".'),
    (
        ("timed out",),
        (
            'No answer in time from {peer}. Check the field "{field}". A firewall may be in the way; '
            'then the field "{proxy}" may need the address of your proxy.'
        ),
    ),
)

_NO_CONNECTION = (
    'No connection to {peer}, or it broke off. Check the field "{field}" and the network of this machine.'
)


def _unreachable(said: str, settings: Settings) -> str:
    known = (advice for signs, advice in _CAUSES if any(sign in said for sign in signs))
    # With a proxy, its name and its port are what this machine tries to reach.
    peer, field = ("the proxy", "proxy") if settings.proxy else (settings.base_url, "host")
    return next(known, _NO_CONNECTION).format(
        peer=peer, field=label_of(field), verify=label_of("verify"), proxy=label_of("proxy")
    )


def _unusable(error: ApiError, settings: Settings) -> str:
    if error.field:
        return field_reason(error.field, error.message)
    details = f"Details: {error.message}"
    if "socks" in error.message.lower():
        return field_reason("proxy", f"a SOCKS proxy needs the Python package socksio. {details}")
    if isinstance(settings.verify, str):
        path = f"{settings.verify!r} is not a file with certificates on this machine."
        return field_reason("verify", f"{path} {details}")
    return error.message


def _ask() -> Flow[Balance]:
    # Asked once: a service that says "later" is to be heard of now.
    reply = yield from flows.call(wire.balance(), clock=time.time, give_up_at=0.0, attempts=1)
    return wire.read_balance(reply)


def _strangers(extra: Iterable[str]) -> str:
    names = ", ".join(sorted(set(extra) - set(CONN_FIELDS)))
    return f" The extra holds what is no setting, and is ignored: {shorten(names)}." if names else ""


def _amount(money: float) -> str:
    return f"{money:,.4f}".rstrip("0").rstrip(".")
