"""What every web server does: HEAD, CORS, encodings of a body, and null for a field that is left out."""

from __future__ import annotations

import gzip
import json

import pytest

PAGE = {"Origin": "https://page.example"}


@pytest.mark.parametrize(
    "path",
    ["/", "/openapi.json", "/v1/balance", "/v1/user/balance", "/v1/models", "/_emulator/ledger"],
)
def test_head_wherever_there_is_get(service, path):
    got, head = service.call("GET", path), service.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.body))
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


def test_head_of_pictures_and_tasks(service):
    (url,) = service.urls()
    path = "/files/" + url.partition("/files/")[2]
    got, head = service.get(url), service.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.body))
    assert service.call("HEAD", "/v1/images/generations/nothing").status == 404
    assert service.call("HEAD", "/files/results/nothing/0.png").status == 404
    requests = service.remote.ledger()["requests"]
    assert (requests["download"], requests["status"]) == (3, 2)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/v1/images/generations", "POST"),
        ("HEAD", "/v1/uploads/images", "POST"),
        ("PUT", "/v1/balance", "GET, HEAD"),
    ],
)
def test_other_methods(service, method, path, allowed):
    reply = service.call(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("path", "method"),
    [("/v1/images/generations", "POST"), ("/v1/balance", "GET"), ("/v1/images/generations/x", "GET")],
)
def test_a_web_page_may_ask_whether_it_may_call(as_key, path, method):
    asked = {
        **PAGE,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    reply = as_key(None).call("OPTIONS", path, headers=asked)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert method in reply.headers["Access-Control-Allow-Methods"]
    assert "authorization" in reply.headers["Access-Control-Allow-Headers"]


def test_a_web_page_may_call_the_api_and_not_fetch_the_pictures(service, slow):
    slow.configure(rate_limit="default")
    body = {"model": "gpt-image-2", "prompt": "a red fox"}
    submitted = service.call("POST", "/v1/images/generations", body, PAGE)
    assert submitted.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in submitted.headers["Access-Control-Expose-Headers"]
    assert service.call("GET", "/v1/images/generations/x", headers=PAGE).headers[
        "Access-Control-Allow-Origin"
    ]
    slow.faults([{"on": "submit", "kind": "status", "status": 503}])
    failed = service.call("POST", "/v1/images/generations", body, PAGE)
    assert (failed.status, failed.headers["Access-Control-Allow-Origin"]) == (503, "*")
    slow.advance(1001)
    picture = service.get(f"/files/results/{submitted.json['id']}/0.png", **PAGE)
    assert (picture.status, picture.headers["Access-Control-Allow-Origin"]) == (200, None)


@pytest.mark.parametrize("encoding", ["gzip", "br"])
@pytest.mark.parametrize(
    "path", ["/v1/images/generations", "/v1/uploads/images", "/_emulator/clock"], ids=lambda path: path[-6:]
)
def test_a_compressed_body_is_named_as_the_problem(service, path, encoding):
    body = gzip.compress(json.dumps({"model": "gpt-image-2", "prompt": "a fox"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    reply = service.call("POST", path, body, headers)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")
    assert f"Content-Encoding '{encoding}' is not supported" in reply.error["message"]


def test_identity_is_no_encoding(service):
    body = json.dumps({"model": "gpt-image-2", "prompt": "a fox"})
    headers = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    assert service.call("POST", "/v1/images/generations", body, headers).status == 200


@pytest.mark.parametrize(
    "field",
    ["size", "resolution", "n", "response_format", "reference_images", "image_urls", "client_business_id"],
)
def test_null_means_left_out(service, slow, field):
    answer = service.submit(**{field: None})
    assert answer.status == 200
    assert "client_business_id" not in answer.json


@pytest.mark.parametrize("field", ["model", "prompt"])
def test_null_is_no_value_for_a_required_field(service, field):
    reply = service.submit(**{field: None})
    assert (reply.status, reply.error["param"]) == (400, field)
    assert reply.error["message"] == f"{field} is required."


def test_null_for_the_options_of_a_model(service):
    fields = {"model": "gpt-image-2.5-flare-vip", "background": None, "resolution": None}
    assert service.submit(**fields).status == 200


def test_a_400_about_no_field_says_so(service):
    reply = service.call("POST", "/v1/images/generations", "[]", {"Content-Type": "application/json"})
    assert (reply.status, reply.error["param"]) == (400, None)
