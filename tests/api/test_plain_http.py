"""Plain http goes to this machine only, also where a host only looks like this machine."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.settings import Settings

KEY = "sk-marker-77aa"

ELSEWHERE = [
    "http://127.0.0.1.evil.com",
    "http://localhost.evil.com",
    "http://127.0.0.1@evil.com",
    "http://user@127.0.0.1@evil.com",
    "http://evil.com@127.0.0.1",
    "http://localhost:80@evil.com",
    "http://evil.com#@127.0.0.1",
    "http://evil.com?@127.0.0.1",
    "http://evil.com\\@127.0.0.1",
    "http://evil.com/@127.0.0.1",
    "http://127.0.0.1\\.evil.com",
    "http://127.0.0.1\t.evil.com",
    "http://127.0.0.1\n.evil.com",
    "http://127.0.0.1\x00.evil.com",
    "http://127.0.0.1%2eevil.com",
    "http://127.0.0.1%00.evil.com",
    "http://127.0.0.1;.evil.com",
    "http://127.0.0.1,evil.com",
    "http://127。0。0。1.evil.com",
    "http://127.0.0.1。evil.com",
    "http://localhost。evil.com",
    "http://evil。com",
    "http://loc\u200balhost",
    "http://\uff4cocalhost.evil.com",
    "http://0x7f.1",
    "http://0177.0.0.1",
    "http://0.0.0.0",
    "http://[::]",
    "http://[::ffff:10.0.0.1]",
    "http://[::ffff:169.254.169.254]",
    "http://[2001:db8::1]",
    "http://[fe80::1%25lo]",
    "http://][127.0.0.1",
    "http://[127.0.0.1",
    "http://a[::1]",
    "HTTP://evil.com",
    "hTTp://127.0.0.1.evil.com",
    "http:evil.com",
    "http:///evil.com",
    "//evil.com@127.0.0.1",
]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_what_only_looks_like_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ApiError) as caught:
        Settings.checked(host=host, api_key=KEY, extra={})
    assert caught.value.kind is Kind.INVALID
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "http://127.0.0.1",
        "HTTP://127.0.0.1:8787/v1",
        "http://127.255.255.254",
        "http://LocalHost:1",
        "http://[::1]:8787",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]:8787",
    ],
)
def test_this_machine_in_any_spelling(host: str) -> None:
    found = Settings.checked(host=host, api_key=KEY, extra={})
    assert found.is_local
    assert is_this_machine(httpx.URL(found.base_url).host)


PIECES = ["127.0.0.1", "localhost", "evil.com", "[::1]", "::ffff:127.0.0.1", "http:", "HTTP:", "//"]
PIECES += [*"@:.?#%;&[]/\\1x", "%2e", "%40", "\t", "\u3002", "\u200d", "\uff0f", "\uff20"]


@settings(max_examples=2_000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
def test_whatever_is_accepted_as_plain_http_leads_to_this_machine(rest: str) -> None:
    """As httpx reads it, which is what counts."""
    try:
        found = Settings.checked(host=f"http://{rest}", api_key=KEY, extra={})
        url = httpx.URL(found.base_url)
    except (ApiError, httpx.InvalidURL):
        return
    assert url.scheme == "https" or is_this_machine(url.host)


def is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
