"""Keys, clients, routes, uploads and settings."""

from __future__ import annotations

import io

import pytest
from PIL import Image

CALLS = [
    ("POST", "/v1/images/generations"),
    ("GET", "/v1/images/generations/x"),
    ("POST", "/v1/uploads/images"),
    ("GET", "/v1/balance"),
]


def picture(kind: str, pixels: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", pixels, "teal").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer abc", "Basic sk-abc", "sk-abc"])
def test_calls_without_a_key(as_key, method, path, header):
    headers = {"Authorization": header} if header else {}
    reply = as_key(None).call(method, path, headers=headers)
    assert (reply.status, reply.error["code"]) == (401, "unauthorized")
    assert reply.error["type"] == "authentication_error"


@pytest.mark.parametrize(("method", "path"), CALLS[:-1])
def test_a_bad_key(as_key, method, path):
    assert as_key("sk-invalid-1").call(method, path).status == 401


def test_a_key_without_money(as_key):
    service = as_key("sk-broke-1")
    assert (service.submit().status, service.submit().error["code"]) == (402, "insufficient_quota")
    assert service.status("x").status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/images/generations", 405),
        ("DELETE", "/v1/images/generations/task_img_1", 405),
        ("PUT", "/v1/balance", 405),
        ("GET", "/v1/images/generations/", 404),
        ("GET", "/files/results/task_img_1/0.png", 404),
        ("GET", "/files/results/task_img_1/zero.png", 404),
        ("GET", "/files/uploads/file_1.png", 404),
        ("GET", "/_emulator/nothing", 404),
        ("GET", "/_emulator/reset", 405),
    ],
)
def test_every_error_has_the_envelope(service, method, path, status):
    reply = service.call(method, path)
    assert reply.status == status
    assert reply.error["message"]
    assert ("Allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize("agent", ["", "python-requests/2.32", "python-httpx/0.28", "Go-http-client/1.1"])
def test_nameless_clients_can_be_blocked(service, agent):
    headers = {"User-Agent": agent}
    assert service.call("GET", "/v1/balance", headers=headers).status == 200
    service.remote.configure(strict_user_agent=True)
    reply = service.call("GET", "/v1/balance", headers=headers)
    assert (reply.status, reply.error["code"]) == (403, "forbidden")
    assert service.call("GET", "/v1/images/generations/x", headers=headers).status == 403
    assert (
        service.call("GET", "/v1/balance", headers={"User-Agent": "airflow-provider-gptimg/1"}).status == 200
    )
    assert service.call("GET", "/v1/balance", headers={"User-Agent": "curl/8.5"}).status == 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_uploads(service, kind):
    content = picture(kind)
    answer = service.upload(content).json
    assert (answer["success"], answer["message"]) == (True, "")
    data = answer["data"]
    assert data["mime_type"] == f"image/{kind.lower()}"
    assert data["size"] == len(content)
    served = service.get(data["url"])
    assert (served.body, served.headers["Content-Type"]) == (content, data["mime_type"])
    assert service.get(data["url"], **{"If-None-Match": served.headers["ETag"]}).status == 304
    service.remote.advance(86_401)
    assert service.get(data["url"]).status == 410


@pytest.mark.parametrize(
    ("content", "field", "complaint"),
    [
        (b"plain text", "file", "Unsupported image type"),
        (b"", "file", "Unsupported image type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(10 * 1024 * 1024), "file", "Image too large"),
        (b"\x89PNG\r\n\x1a\n", "image", "No file"),
    ],
    ids=["text", "empty", "large", "field"],
)
def test_refused_uploads(service, content, field, complaint):
    reply = service.upload(content, field)
    assert reply.status == 400
    assert set(reply.json) == {"success", "message"}
    assert reply.json["success"] is False
    assert complaint in reply.json["message"]


def test_the_largest_upload(service):
    assert service.upload(b"GIF89a" + bytes(10 * 1024 * 1024 - 6)).status == 200


def test_an_upload_that_is_no_multipart(service):
    headers = {"Content-Type": "multipart/form-data"}
    reply = service.call("POST", "/v1/uploads/images", b"abc", headers)
    assert (reply.status, reply.json["success"]) == (400, False)
    assert service.call("POST", "/v1/uploads/images", b"abc").json["message"].startswith("No file")


def test_an_upload_far_too_large_is_not_read(service):
    assert service.upload(bytes(21 * 1024 * 1024)).status == 413


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("clock", {"advance": -1}, "advance: "),
        ("clock", {"advance": "5"}, "advance: "),
        ("clock", {"advance": 1e300}, "advance: "),
        ("clock", {}, "advance: "),
        ("clock", [], "must be a JSON object"),
        ("config", {"rate_limit": "gold"}, "rate_limit: "),
        ("config", {"balance": -1}, "balance: "),
        ("config", {"latency": 1}, "latency: "),
        ("config", {"lookup_lag": True}, "lookup_lag: "),
        ("faults", {}, "rules: "),
        ("faults", {"rules": [{"kind": "delay"}]}, "rules[0].on: "),
        ("faults", {"rules": [{"on": "submit", "kind": "explode"}]}, "rules[0].kind: "),
        ("faults", {"rules": [{"on": "submit", "kind": "status"}]}, "needs a status"),
        ("faults", {"rules": [{"on": "submit", "kind": "status", "status": 200}]}, "rules[0].status: "),
        ("faults", {"rules": [{"on": "submit", "kind": "delay", "seconds": -1}]}, "rules[0].seconds: "),
        (
            "faults",
            {"rules": [{"on": "submit", "kind": "delay", "probability": 2}]},
            "rules[0].probability: ",
        ),
        ("faults", {"rules": [{"on": "submit", "kind": "delay", "times": 0}]}, "rules[0].times: "),
        ("faults", {"rules": [{"on": "submit", "kind": "delay", "tiems": 1}]}, "rules[0].tiems: "),
        ("faults", {"rules": [{"on": "upload", "kind": "delay", "match": ""}]}, "rules[0].match: "),
    ],
)
def test_control_requests_are_checked(service, path, body, complaint):
    reply = service.call("POST", f"/_emulator/{path}", body)
    assert (reply.status, reply.error["code"]) == (400, "invalid_request")
    assert complaint in reply.error["message"]


def test_the_home_page_shows_what_was_made(service, slow):
    service.submit(prompt="<script>alert(1)</script>")
    service.submit(prompt="[fail]")
    slow.advance(1001)
    generation_id = service.submit(prompt="done & dusted").json["id"]
    slow.advance(1001)
    service.submit(prompt="waiting")
    page = service.call("GET", "/")
    text = page.body.decode()
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "done &amp; dusted" in text
    assert "failed, refunded" in text
    assert "queued" in text
    preview = service.call("GET", f"/_emulator/preview/{generation_id}/0.png")
    assert Image.open(io.BytesIO(preview.body)).size == (480, 480)
    assert slow.ledger()["requests"]["download"] == 0
    slow.advance(86_401)
    assert "expired" in service.call("GET", "/").body.decode()
