"""Finds the setting or environment variable that prevents any connection."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import getproxies

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.api.generation import shorten
from airflow_provider_gptimg.api.settings import PROXY_SCHEMES, Settings

_SOCKS = "pip install 'httpx[socks]'"


def unusable(error: Exception, settings: Settings) -> ApiError:
    """Return the error for settings that do not work, naming the setting or the environment variable.

    :param error: what the HTTP client or the TLS library raised.
    """
    details = f"Details: {type(error).__name__}: {shorten(str(error))}."
    if isinstance(error, OSError):
        found = _certificates(settings)
    else:
        found = _proxy_setting(settings) if settings.proxy else _proxy_variable()
    if found is None:
        found = ApiError(
            Kind.INVALID,
            "No connection can be made with these settings (host, proxy, verify = path of a CA bundle).",
        )
    found.message = f"{found.message} {details}"
    return found


def check_certificates(settings: Settings) -> None:
    """Refuse a missing directory of certificates. With it, every certificate would be refused.

    :raises OSError: naming the directory.
    """
    folder = os.environ.get("SSL_CERT_DIR")
    is_used = settings.verify is True and folder and not os.environ.get("SSL_CERT_FILE")
    if folder and is_used and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
        raise NotADirectoryError(folder)


def _certificates(settings: Settings) -> ApiError | None:
    if isinstance(settings.verify, str):
        return invalid("verify", settings.verify, "it is not a file with certificates on this machine")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):  # in this order; only the first one counts
        if path := os.environ.get(name):
            return ApiError(
                Kind.INVALID,
                f"The environment variable {name} points to {shorten(path)}, which has no certificates on "
                "this machine. Correct the variable, or unset it.",
            )
    return None


def _proxy_setting(settings: Settings) -> ApiError | None:
    if not (settings.proxy or "").startswith("socks"):
        return None
    return ApiError(
        Kind.INVALID, f"A SOCKS proxy needs one more package on this machine: {_SOCKS}.", field="proxy"
    )


def _proxy_variable() -> ApiError | None:
    proxies = getproxies()
    for scheme in ("http", "https", "all"):
        # As in the HTTP client, a proxy without a scheme is an HTTP proxy.
        kind, mark, _ = proxies.get(scheme, "").partition("://")
        if not mark or kind in ("http", "https"):
            continue
        name = f"{scheme}_proxy" if os.environ.get(f"{scheme}_proxy") else f"{scheme}_proxy".upper()
        if kind in PROXY_SCHEMES:
            help_ = f"run {_SOCKS} on this machine, or unset the variable"
        elif kind.startswith("socks"):
            help_ = f"write it as socks5://… and run {_SOCKS} on this machine, or unset the variable"
        else:
            help_ = "write it as http://…, or unset the variable"
        return ApiError(
            Kind.INVALID,
            f"The environment variable {name} sets a proxy that cannot be used as it is, "
            f"{shorten(kind, 20)}://…: {help_}.",
        )
    return None
