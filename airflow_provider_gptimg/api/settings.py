"""How to reach the service: base URL, key, timeout, limits, proxy. Checked before the first call."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.models import DEFAULT_MODEL
from airflow_provider_gptimg.api.polling.rate_limit import QUERIES_PER_SECOND, SUBMITS_PER_SECOND, Limits
from airflow_provider_gptimg.api.prices import DEFAULT_PRICES, Prices, checked_prices

DEFAULT_BASE_URL = "https://toapis.com"
"""Contract: Base and auth."""

DEFAULT_TIMEOUT = 30.0
"""Seconds that one HTTP request may take."""


PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

LEAST, MOST = 0.001, 1_000_000
"""Bounds of seconds and rates. Beyond them, clocks and sockets fail in their own ways."""

_NOT_IN_A_BASE_URL = re.compile(r"[\s\x00-\x1f\x7f\\@?#]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the service is and how to call it. Its text never shows the key.

    :param base_url: without a trailing ``/`` or ``/v1``.
    :param timeout: seconds for one request.
    :param proxy: URL of an HTTP(S) or SOCKS proxy. It may hold a password, so it is not shown either.
    :param verify: False, True, or the path of a CA bundle.
    :param check_sizes: False leaves sizes and resolutions to the service.
    :param prices: US dollars per image, by model and resolution.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    timeout: float = DEFAULT_TIMEOUT
    limits: Limits = field(default_factory=Limits)
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str = True
    default_model: str = DEFAULT_MODEL
    check_sizes: bool = True
    # A mapping has no hash, and equal settings have equal prices.
    prices: Prices = field(default_factory=lambda: DEFAULT_PRICES, hash=False)

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @classmethod
    def checked(cls, *, host: str | None, api_key: str | None, extra: Mapping[str, Any]) -> Settings:
        """Build settings from the parts of a connection.

        :raises ApiError: kind INVALID, naming the field, its value and what is allowed; never the key.
        """
        key = _key(api_key)
        # A form leaves an empty text in an empty field, and people paste blanks.
        extra = {name: v.strip() if isinstance(v, str) else v for name, v in extra.items()}
        group = extra.get("rate_limit_group") or "default"
        if not isinstance(group, str) or group not in SUBMITS_PER_SECOND:
            raise invalid("rate_limit_group", group, ", ".join(SUBMITS_PER_SECOND))
        return cls(
            base_url=_base_url(host or DEFAULT_BASE_URL, insecure=_flag("allow_insecure_http", extra)),
            api_key=key,
            timeout=_positive("timeout", extra, DEFAULT_TIMEOUT),
            limits=Limits(
                submits=_positive("submit_rps", extra, SUBMITS_PER_SECOND[group]),
                queries=_positive("query_rps", extra, QUERIES_PER_SECOND[group]),
            ),
            proxy=_proxy(extra),
            verify=_verify(extra),
            default_model=_model(extra),
            check_sizes=_flag("check_sizes", extra, default=True),
            prices=checked_prices(extra.get("prices")),
        )


def is_loopback(host: str) -> bool:
    """Return whether a URL's host is this machine."""
    try:
        address = ipaddress.ip_address(host)
        # Only Python 3.13 and newer see that an IPv4 loopback address written as IPv6 is one.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _key(api_key: str | None) -> str:
    key = (api_key or "").strip()
    if not key:
        raise ApiError(
            Kind.INVALID,
            "The connection has no API key. Enter the key as the connection's password.",
            field="password",
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise ApiError(
            Kind.INVALID,
            "The connection's API key (its password) contains characters that no API key has.",
            field="password",
        )
    return key


def _base_url(host: str, *, insecure: bool) -> str:
    url = host.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if "://" not in url:
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port
        (name or "").encode("idna")  # what a look-up of the name does
    except ValueError:
        parts, name = urlsplit(""), None
    # Some Pythons read the host of "][127.0.0.1" as if the bracket stood at its start.
    is_whole = re.fullmatch(r"\[[^][]+\](:\d+)?|[^][]*[^][:]", parts.netloc)
    is_odd = _NOT_IN_A_BASE_URL.search(url) or not is_whole
    if parts.scheme not in ("http", "https") or not name or is_odd:
        raise invalid("host", _without_userinfo(host), "a base URL such as https://toapis.com")
    if parts.scheme == "http" and not insecure and not is_loopback(name):
        raise invalid(
            "host",
            url,
            "plain http sends the key unencrypted; use https://, or switch on "
            '"Allow plain http" (allow_insecure_http in the extra)',
        )
    return url


def _without_userinfo(url: str) -> str:
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
    return f"{scheme[0] if scheme and '@' in url else ''}{url.rpartition('@')[2]}"


def _positive(name: str, extra: Mapping[str, Any], default: float) -> float:
    value = extra.get(name)
    if value in (None, ""):
        return default
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not LEAST <= number <= MOST:
        raise invalid(name, value, f"a number from {LEAST} to {MOST:,}")
    return number


def _flag(name: str, extra: Mapping[str, Any], *, default: bool = False) -> bool:
    value = str(extra.get(name)).lower()
    if value in ("none", ""):
        return default
    if value not in ("true", "false"):
        raise invalid(name, extra[name], "true or false")
    return value == "true"


def _proxy(extra: Mapping[str, Any]) -> str | None:
    proxy = extra.get("proxy")
    if proxy in (None, ""):
        return None
    try:
        parts = urlsplit(proxy if isinstance(proxy, str) else "")
        name, _ = parts.hostname, parts.port
        (name or "").encode("idna")  # what a look-up of the name does
    except ValueError:
        parts, name = urlsplit(""), None
    if not isinstance(proxy, str) or parts.scheme not in PROXY_SCHEMES or not name:
        raise invalid("proxy", _without_userinfo(str(proxy)), "a URL such as http://proxy.example:3128")
    return proxy


def _model(extra: Mapping[str, Any]) -> str:
    model = extra.get("default_model") or DEFAULT_MODEL
    if not isinstance(model, str):
        raise invalid("default_model", model, "the name of a model, such as gpt-image-2")
    return model


def _verify(extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify")
    if value in (None, ""):
        return True
    if not isinstance(value, (bool, str)):
        raise invalid("verify", value, "true, false, or the path of a CA bundle")
    return {"true": True, "false": False}.get(str(value).lower(), value)
