"""What the Test button says: the balance, or in plain language which field to look at, never the key."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_gptimg.api.client import _ssl_context
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from tests.support.airflow_versions import HTTPX_READS_THE_FILE
from tests.support.raw_service import hangs, http, raw_service, resets, says

KEY = "sk-marker-81c2d7"
PASSWORD = "marker-9a41"
Check = Callable[..., tuple[bool, str]]


@pytest.fixture(autouse=True)
def _no_environment_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return what tests a connection of these parts, as Airflow does: from the environment, as a URI."""
    from airflow.models.connection import Connection

    def check(host: str | None = None, key: str = KEY, **extra: Any) -> tuple[bool, str]:
        made = Connection("form", "gptimg", host=host, password=key, extra=json.dumps(extra))
        monkeypatch.setenv("AIRFLOW_CONN_FORM", made.get_uri())
        works, message = GptImgHook("form").test_connection()
        assert KEY not in message
        assert PASSWORD not in message
        assert message.isprintable()
        assert len(message.partition(" Details: ")[0]) <= 210  # shown for five seconds
        return works, message

    return check


@pytest.mark.parametrize(
    ("balance", "works", "says"),
    [
        (10.0, True, " 10 USD"),
        (12345678.25, True, " 12,345,678.25 USD"),
        (0.005, True, " 0.005 USD"),
        (0.0, False, "Top up the account; the API key is correct. Details: the key's quota is 0 USD"),
    ],
)
def test_the_balance(gptimg_emulator: Any, check: Check, balance: float, works: bool, says: str) -> None:
    gptimg_emulator.configure(balance=balance)
    ok, message = check(gptimg_emulator.base_url)
    assert ok is works
    assert says in message
    assert gptimg_emulator.base_url in message
    assert gptimg_emulator.ledger()["requests"]["submit"] == 0


def money(usd: float | None, **more: Any) -> bytes:
    """Return a balance answer; None is unlimited."""
    remains = -1 if usd is None else usd
    body = {"success": True, "remain_balance": remains, "remain_credits": remains * 200}
    return http(json.dumps({**body, "unlimited_quota": usd is None, **more}).encode())


NOT_SERVED = http(b'{"error": {"code": "not_found", "message": "no such path"}}', "404 Not Found")
REFUSED = http(b'{"success": false, "message": "unknown key"}')
# Of the key, and of the account: whether images can be made, and what is said after the URL.
BALANCES = [
    (money(2.0), money(10.0), True, ". Balance: 10 USD; the key's quota is 2 USD."),
    (money(None), money(10.0), True, ". Balance: 10 USD; the key's quota is unlimited."),
    (
        money(2.0),
        money(None),
        True,
        ". The service does not report the account's balance; the key's quota is 2 USD.",
    ),
    (
        money(2.0),
        NOT_SERVED,
        True,
        ". The service does not report the account's balance; the key's quota is 2 USD.",
    ),
    (money(None), NOT_SERVED, True, "does not report the account's balance; the key's quota is unlimited."),
    (
        money(None),
        money(0.0),
        False,
        ". Top up the account; the API key is correct. Details: the key's quota is ",
    ),
    (money(None), money(0.0), False, "unlimited, the account's balance is 0 USD."),
    (money(2.0), money(-0.5), False, ". Top up the account; the API key is correct."),
    (money(0.0), money(10.0), False, ". Raise its limit there, or use another key."),
    (money(0.0), NOT_SERVED, False, ". Top up the account; the API key is correct."),
    # A site that shows yuan.
    (money(None), money(10.0, remain_balance=72.0), True, ". Balance: 10 USD;"),
]


@pytest.mark.parametrize(("key", "account", "works", "told"), BALANCES)
def test_images_are_promised_only_where_the_account_has_money(
    check: Check, key: bytes, account: bytes, works: bool, told: str
) -> None:
    answers = iter((key, account))
    with raw_service(lambda connection: connection.sendall(next(answers))) as service:
        ok, message = check(service.url)
    assert ok is works
    assert f"{service.url}{told}" in message or told in message
    assert [request.line.split()[1] for request in service.received] == ["/v1/balance", "/v1/user/balance"]


def test_a_key_that_is_answered_success_false_is_a_bad_key(check: Check) -> None:
    with raw_service(says(REFUSED)) as service:
        works, message = check(service.url)
    assert not works
    assert message.startswith(f"Wrong API key: {service.url} does not know it.")


def test_names_in_the_extra_that_mean_nothing_are_told(gptimg_emulator: Any, check: Check) -> None:
    works, message = check(gptimg_emulator.base_url, time_out=5, timeout=5, rate_limit="vip")
    assert works
    assert message.endswith("has unknown settings, which are ignored: rate_limit, time_out.")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("sk-invalid-1", 'does not know it. Copy the whole key again into the field "API key".'),
        ("no-key-at-all", 'does not know it. Copy the whole key again into the field "API key".'),
        ("sk-broke-1", "Top up the account; the API key is correct. Details: the key's quota is 0 USD"),
        ("", 'Field "API key": The connection has no API key'),
        ("sk-a b", 'Field "API key": The connection\'s API key (its password) contains characters'),
        ("***", "Airflow sent *** instead of the API key"),
    ],
)
def test_keys_that_do_not_work(gptimg_emulator: Any, check: Check, key: str, reason: str) -> None:
    works, message = check(gptimg_emulator.base_url, key)
    assert not works
    assert reason in message
    assert key in ("", "***") or key not in message


ERROR = b'{"error": {"code": "some_code", "message": "what the service says"}}'
PAGE = b"<!doctype html><title>Sign in to the guest network</title>"
ANSWERS = {
    "401": (http(ERROR, "401 Unauthorized"), 'Copy the whole key again into the field "API key".'),
    "402": (http(ERROR, "402 Payment Required"), "No balance left at"),
    "403": (http(ERROR, "403 Forbidden"), "refuses this API key or this machine"),
    "429": (http(ERROR, "429 Slow", Retry_After="600"), "This account is making too many calls"),
    "500": (http(ERROR, "500 Oops"), "has a problem. Change nothing"),
    "502 page": (http(PAGE, "502 Bad Gateway"), "has a problem. Change nothing"),
    "503": (http(ERROR, "503 Busy", Retry_After="600"), "has a problem. Change nothing"),
    "404 page": (
        http(PAGE, "404 Not Found"),
        "another website answers there, or a login page. Check the fie",
    ),
    "405": (http(PAGE, "405 No"), "is not the image service"),
    "200 page": (http(PAGE), "Sign in to the guest network"),
    "200 other JSON": (http(b'{"name": "a search engine"}'), 'Check the field "Base URL"'),
    "200 nothing": (http(b""), 'Check the field "Base URL"'),
    "redirect": (http(b"", "302 Found", Location="https://login.example/"), "https://login.example/"),
    "407": (
        http(b"", "407 Proxy"),
        "The proxy requires a user name and a password.",
    ),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "No connection to http://127.0.0.1"),
    "key in it": (http(KEY.encode() * 3), 'Check the field "Base URL"'),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_answers_of_a_wrong_place_or_at_a_wrong_time(check: Check, answer: bytes, reason: str) -> None:
    """Also those that say "later" are told at once: somebody looks at the page."""
    started = time.monotonic()
    with raw_service(says(answer)) as service:
        works, message = check(service.url)
    assert not works
    assert reason in message
    assert time.monotonic() - started < 5
    assert len(service.received) == 1


def test_a_service_that_breaks_off(check: Check) -> None:
    with raw_service(resets()) as service:
        works, message = check(service.url)
    assert not works
    assert 'or the connection was lost. Check the field "Base URL"' in message


def test_a_service_that_does_not_answer(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_gptimg.hooks.diagnosis.LONGEST", 0.2)
    with raw_service(hangs()) as service:
        for timeout in (0.1, 3600):  # however long the connection's own limit is
            works, message = check(service.url, timeout=timeout)
            assert not works
            assert message.startswith(f"No answer in time from {service.url}.")


def test_nobody_listens(check: Check, capfd: pytest.CaptureFixture[str]) -> None:
    works, message = check("http://127.0.0.1:1")
    assert not works
    assert message.startswith(
        "Nothing is listening at http://127.0.0.1:1. Check the address and port in the field"
    )
    assert message in "".join(capfd.readouterr())  # also in the log: the page shows it for seconds only


def test_a_name_that_nobody_knows(check: Check) -> None:
    works, message = check("https://no-such-host.invalid")
    assert not works
    assert message.startswith("Unknown host name: https://no-such-host.invalid.")
    assert 'the field "Base URL"' in message


def test_https_where_only_http_is_spoken(check: Check) -> None:
    with raw_service(says(http(ERROR)), reads=False) as service:
        works, message = check(service.url.replace("http:", "https:"))
    assert not works
    assert "may have to begin with http://" in message


class Balance(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"success": true, "remain_balance": 7.5}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Yield an https service and the file with the certificate that it can be trusted by."""
    folder = tmp_path_factory.mktemp("authority")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(*pem, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), Balance)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}", certificate
    server.shutdown()
    server.server_close()


def test_a_certificate_of_ones_own(own_authority: tuple[str, Path], check: Check) -> None:
    url, certificate = own_authority
    works, message = check(url)
    assert not works
    assert message.startswith(f"This machine does not trust the certificate of {url}.")
    assert 'into the field "Certificate check"' in message
    for verify in (str(certificate), f" {certificate} ", "false", "False", False):
        assert check(url, verify=verify) == (
            True,
            f"Connected to {url}. Balance: 7.5 USD; the key's quota is 7.5 USD.",
        )


def test_files_that_hold_no_certificates(check: Check, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path, Path(__file__)):
        works, message = check("https://127.0.0.1:1", verify=str(path))
        assert not works
        assert message.startswith('Field "Certificate check": verify=')
        assert "it is not a file with certificates on this machine. Details: " in message


@HTTPX_READS_THE_FILE
def test_certificates_of_the_environment_that_are_gone(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    _ssl_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", "/gone/ca.pem")
    works, message = check("https://127.0.0.1:1")
    assert not works
    assert message.startswith(
        "The environment variable SSL_CERT_FILE points to /gone/ca.pem, which has no certificates"
    )


@pytest.mark.parametrize(
    ("kind", "help_"),
    [("socks", "write it as socks5://… and run pip"), ("socks5", "run pip install 'httpx[socks]'")],
)
def test_a_proxy_of_the_environment_that_cannot_be_used(
    check: Check, monkeypatch: pytest.MonkeyPatch, kind: str, help_: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{kind}://user:{PASSWORD}@127.0.0.1:1")
    works, message = check("https://service.example")
    assert not works
    assert message.startswith("The environment variable ALL_PROXY sets a proxy that cannot be used as it is")
    assert help_ in message
    assert "or unset the variable" in message
    assert "Proxy URL" not in message  # an empty field is not the reason


def test_proxies_that_do_not_work(check: Check) -> None:
    secret = f"http://user:{PASSWORD}@127.0.0.1"
    with raw_service(says(http(b"", "407 Proxy Authentication Required"))) as proxy:
        port = proxy.url.rpartition(":")[2]
        for host in ("https://service.example", "http://service.example"):
            works, message = check(host, proxy=f"{secret}:{port}", allow_insecure_http=True)
            assert not works
            assert message.startswith("The proxy requires a user name and a password.")
    works, message = check("https://service.example", proxy=f"{secret}:1")
    assert not works
    assert message.startswith(
        'Nothing is listening at the proxy. Check the address and port in the field "Proxy URL".'
    )
    works, message = check("https://service.example", proxy=f"socks5://user:{PASSWORD}@127.0.0.1:1")
    assert not works
    assert message.startswith('Field "Proxy URL": A SOCKS proxy needs one more package')


@pytest.mark.parametrize(
    ("parts", "label", "value"),
    [
        ({"host": "ftp://toapis.com"}, "Base URL", "host='ftp://toapis.com'"),
        ({"host": "http://10.0.0.7:8787"}, "Base URL", '"Allow plain http"'),
        ({"timeout": "soon"}, "Request timeout (seconds)", "timeout='soon'"),
        ({"timeout": 0}, "Request timeout (seconds)", "timeout=0"),
        ({"submit_rps": -1}, "Submissions per second", "submit_rps=-1"),
        ({"query_rps": "many"}, "Status queries per second", "query_rps='many'"),
        ({"rate_limit_group": "gold"}, "Rate limit group", "default, vip, svip"),
        ({"proxy": "proxy.example"}, "Proxy URL", "a URL such as"),
        ({"proxy": "***"}, "Proxy URL", "a URL such as"),
        ({"verify": 3}, "Certificate check", "the path of a CA bundle"),
        ({"default_model": ["gpt-image-2"]}, "Default model", "the name of a model"),
        ({"check_sizes": "sometimes"}, "Check sizes", "true or false"),
        ({"prices": {"gpt-image-2": 1}}, "Prices", "by model and resolution"),
        ({"allow_insecure_http": "sometimes"}, "Allow plain http", "true or false"),
    ],
    ids=str,
)
def test_values_that_are_not_allowed(check: Check, parts: dict[str, Any], label: str, value: str) -> None:
    works, message = check(**parts)
    assert not works
    assert message.startswith(f'Field "{label}": ')
    assert value in message


def test_a_connection_that_does_not_exist() -> None:
    works, message = GptImgHook("nobody_made_it").test_connection()
    assert not works
    assert "nobody_made_it" in message
