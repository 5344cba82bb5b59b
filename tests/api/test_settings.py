"""A connection's parts: what makes usable settings, what is refused, and that secrets are never shown."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from airflow_provider_gptimg.api import client
from airflow_provider_gptimg.api.client import AsyncClient, SyncClient
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.polling.rate_limit import Limits
from airflow_provider_gptimg.api.settings import Settings
from tests.support.airflow_versions import HTTPX_READS_THE_FILE

KEY = "sk-MARKER-key"
PASSWORD = "MARKER-password"


def checked(host: str | None = None, key: str | None = KEY, **extra: Any) -> Settings:
    return Settings.checked(host=host, api_key=key, extra=extra)


def refused(host: str | None = None, key: str | None = KEY, **extra: Any) -> str:
    with pytest.raises(ApiError) as caught:
        checked(host, key, **extra)
    assert caught.value.kind is Kind.INVALID
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "MARKER" not in shown
    return str(caught.value)


def test_a_key_is_all_that_is_needed() -> None:
    found = checked()
    assert found.base_url == "https://toapis.com"
    assert (found.api_key, found.proxy, found.verify, found.default_model) == (KEY, None, True, "gpt-image-2")
    assert found.limits == Limits(5.0, 50.0)
    assert found.timeout > 0


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        (None, "https://toapis.com"),
        ("", "https://toapis.com"),
        ("toapis.cn", "https://toapis.cn"),
        (" toapis.com/ ", "https://toapis.com"),
        ("toapis.com/v1", "https://toapis.com"),
        ("https://toapis.com", "https://toapis.com"),
        ("https://toapis.com/", "https://toapis.com"),
        ("https://toapis.com/v1", "https://toapis.com"),
        ("https://toapis.com/v1/", "https://toapis.com"),
        ("https://api.toapis.com:8443/v1", "https://api.toapis.com:8443"),
        ("https://gateway.example/images/v1/", "https://gateway.example/images"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://127.8.9.1:8787/v1", "http://127.8.9.1:8787"),
        ("http://localhost:8787/", "http://localhost:8787"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("http://[::1]:8787/v1/", "http://[::1]:8787"),
        ("[::1]:8787", "https://[::1]:8787"),
        ("HTTPS://toapis.com", "HTTPS://toapis.com"),
    ],
)
def test_base_urls(host: str | None, base_url: str) -> None:
    assert checked(host).base_url == base_url
    SyncClient(checked(host)).close()


@pytest.mark.parametrize(
    "host",
    [
        "ftp://toapis.com",
        "file:///etc/passwd",
        "https://",
        "http:/toapis.com",
        "https://a..b",
        f"https://{'a' * 300}.example",
        "/v1",
        " ",
        "https://toapis.com:99999",
        "https://toapis.com:port",
        "https://[::1",
        "https://toapis.com?key=1",
        "https://toapis.com?",
        "https://toapis.com#x",
        "https://two words.example",
        "https://a\nb.example",
        "https://a\x00b.example",
        "https://a\\b.example",
        f"https://user:{PASSWORD}@toapis.com",
        f"https://:{PASSWORD}@toapis.com",
        f"http://:{PASSWORD}@toapis.com",
        f"user:{PASSWORD}@toapis.com",
        f"http://user:{PASSWORD}@127.0.0.1",
    ],
)
def test_what_is_no_base_url_is_refused(host: str) -> None:
    assert refused(host).startswith("host=")


@pytest.mark.parametrize(
    "host",
    [
        "http://toapis.com",
        "http://10.0.0.1:8787",
        "http://169.254.169.254",
        "http://0.0.0.0:8787",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://mylocalhost",
        "HTTP://toapis.com",
    ],
)
def test_plain_http_goes_to_this_machine_only_unless_allowed(host: str) -> None:
    for flag in ({}, {"allow_insecure_http": False}, {"allow_insecure_http": "false"}):
        message = refused(host, **flag)
        assert "https://" in message
        assert "allow_insecure_http" in message
    for flag in ({"allow_insecure_http": True}, {"allow_insecure_http": "True"}):
        assert checked(host, **flag).base_url == host


@pytest.mark.parametrize(
    "key", [None, "", "  ", f"{KEY} x", f"{KEY}\nx", f"{KEY}é", f"{KEY}\x00", f"{KEY}\x7f"], ids=repr
)
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: str | None) -> None:
    assert "password" in refused(key=key)


def test_a_key_may_have_been_pasted_with_a_newline() -> None:
    assert checked(key=f" {KEY}\n").api_key == KEY


NUMBERS = ("timeout", "submit_rps", "query_rps")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(("given", "number"), [(2, 2.0), (0.5, 0.5), ("7.5", 7.5), (None, None), ("", None)])
def test_numbers_may_be_texts(name: str, given: object, number: float | None) -> None:
    found = checked(**{name: given})
    values = {"timeout": found.timeout, "submit_rps": found.limits.submits, "query_rps": found.limits.queries}
    assert values[name] == (number or {"timeout": 30.0, "submit_rps": 5.0, "query_rps": 50.0}[name])


BAD_NUMBERS = [
    0,
    -1,
    "0",
    "many",
    True,
    float("nan"),
    float("inf"),
    "nan",
    "1e400",
    1e300,
    5e-324,
    10**400,
    [1],
    {},
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=lambda bad: repr(bad)[:10])
def test_bad_numbers_are_refused(name: str, bad: object) -> None:
    assert refused(**{name: bad}).startswith(f"{name}=")


@pytest.mark.parametrize(
    ("group", "submits", "queries"), [("vip", 1000 / 60, 10_000 / 60), ("svip", 2000 / 60, 500)]
)
def test_a_group_sets_both_limits_and_a_number_one_of_them(
    group: str, submits: float, queries: float
) -> None:
    assert checked(rate_limit_group=group).limits == Limits(pytest.approx(submits), pytest.approx(queries))
    assert checked(rate_limit_group=group, query_rps=3).limits == Limits(pytest.approx(submits), 3.0)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("rate_limit_group", bad) for bad in ("gold", "VIP", 3, ["vip"], {"vip": 1})),
        *(("allow_insecure_http", bad) for bad in ("yes", 1, [], "on")),
        *(("check_sizes", bad) for bad in ("no", 0, [], "off")),
        *(("prices", bad) for bad in ("cheap", 1, [], {"gpt-image-2": 1}, {"gpt-image-2": {"1K": "x"}})),
        *(("verify", bad) for bad in (1, [], 0.5)),
        *(("default_model", bad) for bad in (1, True, ["gpt-image-2"], {"name": "gpt-image-2"})),
        *(
            ("proxy", bad)
            for bad in ("proxy.example:3128", "ftp://proxy.example", "http://", "http://[", 3, [])
        ),
        ("proxy", "http://a..b:3128"),
        ("proxy", f"user:{PASSWORD}@proxy.example"),
        ("proxy", f"ftp://user:{PASSWORD}@proxy.example"),
        ("proxy", f"ftp://user:x://{PASSWORD}@proxy.example"),
        ("proxy", f"http://user:{PASSWORD}@proxy.example:99999"),
        ("proxy", {"https": f"http://user:{PASSWORD}@proxy.example"}),
    ],
)
def test_other_bad_settings_name_themselves(name: str, bad: object) -> None:
    assert refused(**{name: bad}).startswith(f"{name}=")


@pytest.mark.parametrize(
    ("given", "check_sizes"), [(None, True), (" ", True), (True, True), (False, False), ("False", False)]
)
def test_check_sizes(given: object, check_sizes: bool) -> None:
    assert checked(check_sizes=given).check_sizes is check_sizes


@pytest.mark.parametrize(
    ("given", "verify"),
    [
        (None, True),
        ("", True),
        (True, True),
        ("true", True),
        (False, False),
        ("False", False),
        ("/ca.pem", "/ca.pem"),
    ],
)
def test_verify(given: object, verify: bool | str) -> None:
    assert checked(verify=given).verify == verify


def test_what_was_pasted_with_blanks_or_left_empty_is_understood() -> None:
    pasted = checked(
        timeout=" 7.5 ",
        rate_limit_group=" vip\n",
        proxy=" http://proxy.example:3128 ",
        verify=" /ca.pem ",
        default_model=" gpt-image-2-vip ",
        allow_insecure_http=" ",
    )
    assert (pasted.timeout, pasted.proxy, pasted.verify) == (7.5, "http://proxy.example:3128", "/ca.pem")
    assert pasted.default_model == "gpt-image-2-vip"
    assert pasted.limits == checked(rate_limit_group="vip").limits
    for unset in (None, "", "  "):
        assert checked(**dict.fromkeys(FIELDS, unset)) == checked()


def test_errors_name_the_field_they_are_about() -> None:
    for parts, field in (
        ({"key": ""}, "password"),
        ({"key": "a b"}, "password"),
        ({"host": "ftp://x"}, "host"),
    ):
        with pytest.raises(ApiError) as caught:
            checked(**parts)
        assert caught.value.field == field
    for name in ("timeout", "proxy", "verify", "rate_limit_group", "default_model", "allow_insecure_http"):
        with pytest.raises(ApiError) as caught:
            checked(**{name: [1]})
        assert caught.value.field == name


def test_secrets_are_not_shown() -> None:
    found = checked(proxy=f"http://user:{PASSWORD}@proxy.example:3128")
    assert found.proxy is not None
    for shown in (repr(found), str(found), f"{found}", repr([found]), repr(SyncClient(found))):
        assert "MARKER" not in shown


UNUSABLE = [
    ({"verify": "/no/such/file.pem"}, {}, "verify='/no/such/file.pem' is not allowed"),
    ({"verify": "/etc"}, {}, "it is not a file with certificates on this machine"),
    ({"verify": __file__}, {}, "it is not a file with certificates on this machine"),
    # Both need a library that is not installed.
    ({"proxy": f"socks5://user:{PASSWORD}@proxy.example:1080"}, {}, "pip install 'httpx[socks]'"),
    (
        {},
        {"ALL_PROXY": f"socks5://user:{PASSWORD}@proxy.example:1080"},
        "variable ALL_PROXY sets a proxy that cannot be used as it is, socks5://…: run pip install 'httpx",
    ),
    (
        {},
        {"all_proxy": f"socks://user:{PASSWORD}@proxy.example:1080"},
        "all_proxy sets a proxy that cannot be used as it is, socks://…: write it as socks5://… and run pip",
    ),
    ({}, {"HTTPS_PROXY": f"ftp://user:{PASSWORD}@proxy.example"}, "ftp://…: write it as http://…, or unset"),
    pytest.param(
        {},
        {"SSL_CERT_FILE": "/gone/ca.pem"},
        "The environment variable SSL_CERT_FILE points to /gone/ca.pem, which",
        marks=HTTPX_READS_THE_FILE,
    ),
    ({}, {"SSL_CERT_FILE": __file__}, "Correct the variable, or unset it."),
    (
        {},
        {"SSL_CERT_DIR": "/gone"},
        "The environment variable SSL_CERT_DIR points to /gone, which has no certificates",
    ),
    ({"host": "https://[v1.x]"}, {}, "No connection can be made with these settings"),
]
FROM_THE_ENVIRONMENT = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.mark.parametrize(("parts", "environment", "says"), UNUSABLE, ids=str)
async def test_settings_that_no_client_can_be_made_of_say_so(
    parts: dict[str, Any], environment: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FROM_THE_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client._ssl_context.cache_clear()
    found = checked(**parts)

    async def ask() -> None:
        await AsyncClient(found).run(iter_balance())

    with pytest.raises(ApiError) as sync_error:
        SyncClient(found)
    with pytest.raises(ApiError) as async_error:
        await ask()
    for caught in (sync_error.value, async_error.value):
        assert caught.kind is Kind.INVALID
        assert says in str(caught)
        assert " Details: " in str(caught)
        assert "MARKER" not in "".join(traceback.format_exception(caught))


def test_certificates_of_the_environment_that_are_there_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", f"/gone{os.pathsep}{tmp_path}")
    SyncClient(checked()).close()
    monkeypatch.setenv("SSL_CERT_DIR", "/gone")
    SyncClient(checked(verify="false")).close()


def iter_balance() -> Any:
    from airflow_provider_gptimg.api import flows, wire

    return flows.call(wire.balance(), clock=lambda: 0.0, give_up_at=0.0)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)
FIELDS = (
    *NUMBERS,
    "rate_limit_group",
    "proxy",
    "verify",
    "allow_insecure_http",
    "default_model",
    "check_sizes",
    "prices",
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.none() | st.text(), st.none() | st.text(), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_a_connection_holds_is_refused_clearly_or_usable(
    host: str | None, key: str | None, extra: dict[str, Any]
) -> None:
    try:
        Settings.checked(host=host, api_key=key, extra=extra)
    except ApiError as error:
        kind = error.kind
    else:
        kind = Kind.INVALID
    assert kind is Kind.INVALID
