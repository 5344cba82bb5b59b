"""What the emulator accepts and what it refuses."""

from __future__ import annotations

import json

import pytest

from airflow_provider_gptimg.emulator.submission import parse_submission
from tests.support.emulator_cells import CELLS, FILLED_CELLS

HALF = '{"model": "gpt-image-2", "prompt": "a \ud83e", "client_business_id": "af-\ud83e"}'
"""Half a surrogate pair, not escaped: no text, whatever the encoding."""


def test_the_table_is_whole():
    assert len(CELLS) == 39
    assert sum(pixels != "-" for *_, pixels in CELLS) == 22


@pytest.mark.parametrize(("ratio", "tier", "pixels"), CELLS)
def test_sizes(service, ratio, tier, pixels):
    reply = service.submit(size=ratio, resolution=tier)
    if pixels == "-":
        assert reply.status == 400
        assert reply.error["code"] == "invalid_request"
        assert f"at {tier} must be one of" in reply.error["message"]
        assert service.remote.ledger()["submissions"] == []
    else:
        assert reply.status == 200
        lower = service.submit(size=ratio, resolution=tier.lower())
        assert lower.status == 200


def test_the_full_table_fills_every_gap(service, slow):
    gaps = {(ratio, tier) for ratio, tier, pixels in CELLS if pixels == "-"}
    assert {(ratio, tier) for ratio, tier, _ in FILLED_CELLS} == gaps
    slow.configure(size_table="full", balance=100)
    for ratio, tier, _ in (*CELLS, *FILLED_CELLS):
        assert service.submit(size=ratio, resolution=tier).status == 200
    assert service.submit(size="7:5").status == 400
    assert service.submit(model="gpt-image-2.5-flare-vip", size="1:1").status == 400
    slow.configure(size_table="standard")
    assert service.submit(size="16:9").status == 400


@pytest.mark.parametrize(("ratio", "tier", "pixels"), FILLED_CELLS)
def test_the_pixels_of_the_full_table(ratio, tier, pixels):
    fields = {"model": "gpt-image-2", "prompt": "a fox", "size": ratio, "resolution": tier}
    width, height = parse_submission(fields, "full").pixels
    assert f"{width}x{height}" == pixels


def test_the_answer_to_a_submission(service, slow):
    answer = service.submit(client_business_id="af-1").json
    assert answer.pop("id").startswith("task_img_")
    assert abs(answer.pop("created_at") - slow.advance(0)) < 60
    assert answer == {
        "object": "generation.task",
        "model": "gpt-image-2",
        "status": "queued",
        "progress": 0,
        "metadata": {},
        "client_business_id": "af-1",
    }


def test_only_model_and_prompt_are_required_and_unknown_fields_are_welcome(service):
    assert service.submit().status == 200
    assert service.submit(callback_url="https://example.org/x", style={"a": [1, None]}).status == 200


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"prompt": ""}, "prompt must not be empty"),
        ({"prompt": " \n\t"}, "prompt must not be empty"),
        ({"prompt": 7}, "prompt must be a string"),
        ({"prompt": None}, "prompt is required"),
        ({"prompt": "x" * 32_001}, "at most 32000"),
        ({"model": ""}, "model must not be empty"),
        ({"model": ["gpt-image-2"]}, "model must be a string"),
        ({"size": "7:5"}, "size of gpt-image-2 at 1K must be one of 1:1, 3:2, 2:3"),
        ({"size": 1}, "size must be a string"),
        ({"size": "1024x1024"}, "size of gpt-image-2"),
        ({"resolution": "8K"}, "resolution must be one of 1K, 2K, 4K"),
        ({"resolution": 2}, "resolution must be a string"),
        ({"resolution": "4K"}, "size of gpt-image-2 at 4K"),
        ({"n": "2"}, "n must be an integer"),
        ({"n": True}, "n must be an integer"),
        ({"n": 1.5}, "n must be an integer"),
        ({"n": 0}, "from 1 to"),
        ({"n": -1}, "from 1 to"),
        ({"n": 1001}, "from 1 to"),
        ({"response_format": "b64_json"}, "response_format must be 'url'"),
        ({"client_business_id": 5}, "client_business_id must be a string"),
    ],
    ids=str,
)
def test_refused_fields(service, fields, complaint):
    reply = service.submit(**fields)
    assert reply.status == 400
    assert reply.error["code"] == "invalid_request"
    assert complaint in reply.error["message"]
    assert reply.error["param"] in {*fields, "size"}
    assert len(reply.error["message"]) < 400
    assert service.remote.ledger()["submissions"] == []


@pytest.mark.parametrize("missing", ["model", "prompt"])
def test_required_fields(service, missing):
    body = {"model": "gpt-image-2", "prompt": "a fox"}
    del body[missing]
    reply = service.call("POST", "/v1/images/generations", body)
    assert (reply.status, reply.error["message"]) == (400, f"{missing} is required.")


def test_the_longest_prompt_is_counted_in_characters(service):
    assert service.submit(prompt="狐" * 32_000).status == 200


def test_an_integer_may_be_written_with_a_decimal_point(service):
    assert service.submit(n=2.0).status == 200
    assert service.remote.ledger()["submissions"][0]["n"] == 2


@pytest.mark.parametrize("field", ["reference_images", "image_urls"])
@pytest.mark.parametrize(
    ("value", "status"),
    [
        (["https://example.org/a.png"], 200),
        (["http://example.org/a.png", "HTTPS://example.org/b.png?x=1#y"], 200),
        ([], 200),
        ("https://example.org/a.png", 400),
        (["data:image/png;base64,iVBORw0KGgo="], 400),
        (["iVBORw0KGgoAAAANSUhEUgAA"], 400),
        (["ftp://example.org/a.png"], 400),
        (["https://"], 400),
        (["https://example.org/a.png", 5], 400),
        ([None], 400),
        (None, 200),
    ],
)
def test_reference_images(service, field, value, status):
    reply = service.submit(**{field: value})
    assert reply.status == status
    if status == 400:
        assert reply.error["code"] == "invalid_reference_images"


@pytest.mark.parametrize(
    ("model", "most"), [("gpt-image-2", 6), ("gpt-image-2-official", 16), ("gpt-image-2-vip", None)]
)
def test_the_most_reference_images(service, model, most):
    urls = [f"https://example.org/{number}.png" for number in range(17)]
    if most is None:
        assert service.submit(model=model, reference_images=urls).status == 200
        return
    assert service.submit(model=model, reference_images=urls[:most]).status == 200
    reply = service.submit(model=model, reference_images=urls[: most + 1])
    assert (reply.status, reply.error["code"]) == (400, "invalid_reference_images")
    assert f"at most {most}" in reply.error["message"]


def test_a_large_inlined_picture_gets_an_explanation(service):
    reply = service.submit(reference_images=["data:image/png;base64," + "A" * 3_000_000])
    assert (reply.status, reply.error["code"]) == (400, "invalid_reference_images")
    assert "data URIs are refused" in reply.error["message"]


def test_an_unknown_model_has_no_channel(service):
    reply = service.submit(model="dall-e-9")
    assert (reply.status, reply.error["code"]) == (503, "model_not_found")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "gpt-image-2-vip", "size": "4:3", "resolution": "1K"}, 200),
        ({"model": "gpt-image-2-vip", "size": "1:1", "resolution": "4K", "quality": "high"}, 200),
        ({"model": "gpt-image-2-vip", "quality": "best"}, 400),
        ({"model": "gpt-image-2-vip", "n": 4}, 200),
        ({"model": "gpt-image-2", "quality": "best"}, 200),  # not a field of this model: ignored
        ({"model": "gpt-image-2.5-flare", "background": "transparent"}, 200),
        ({"model": "gpt-image-2.5-sunburst", "background": "green"}, 400),
        ({"model": "gpt-image-2.5-sunburst", "n": 2}, 400),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1536x1024"}, 200),
        ({"model": "gpt-image-2.5-flare-vip"}, 200),
        ({"model": "gpt-image-2.5-flare-vip", "size": "3:2"}, 400),
        ({"model": "gpt-image-2.5-flare-vip", "size": "100x100"}, 400),
        ({"model": "gpt-image-2.5-sunburst-vip", "size": "4000x1000"}, 400),
        ({"model": "gpt-image-2.5-sunburst-vip", "size": "1024x1024", "resolution": "1K"}, 400),
    ],
    ids=str,
)
def test_sister_models(service, fields, status):
    assert service.submit(**fields).status == status


@pytest.mark.parametrize(
    ("body", "kind", "complaint"),
    [
        ("{", "application/json", "not valid JSON"),
        ("", "application/json", "not valid JSON"),
        (b"\xff\xfe{}", "application/json", "not valid JSON"),
        ('{"n": NaN}', "application/json", "NaN is not a JSON number"),
        ('{"prompt": "\\ud83e"}', "application/json", "not valid JSON"),
        (HALF.encode("utf-8", "surrogatepass"), "application/json", "not valid JSON"),
        (HALF.encode("utf-16", "surrogatepass"), "application/json", "not valid JSON"),
        (HALF.encode("utf-32-le", "surrogatepass"), "application/json", "not valid JSON"),
        ("[" * 100_000, "application/json", "not valid JSON"),
        ("9" * 5000, "application/json", "not valid JSON"),
        ("[]", "application/json", "must be a JSON object"),
        ('"text"', "application/json", "must be a JSON object"),
        ("{}", "text/plain", "must be application/json"),
        ("model=gpt-image-2", "application/x-www-form-urlencoded", "must be application/json"),
    ],
)
def test_bodies_that_are_no_json_object(service, body, kind, complaint):
    reply = service.call("POST", "/v1/images/generations", body, {"Content-Type": kind})
    assert (reply.status, reply.error["code"]) == (400, "invalid_request")
    assert complaint in reply.error["message"]
    assert service.remote.ledger()["submissions"] == []


def test_a_charset_is_no_other_content_type(service):
    body = json.dumps({"model": "gpt-image-2", "prompt": "a fox"})
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert service.call("POST", "/v1/images/generations", body, kind).status == 200


def test_a_body_that_is_too_large_is_not_read(service):
    reply = service.call("POST", "/v1/images/generations", b" " * (16 * 1024 * 1024 + 1))
    assert reply.status == 400  # no content type
    kind = {"Content-Type": "application/json"}
    reply = service.call("POST", "/v1/images/generations", b" " * (16 * 1024 * 1024 + 1), kind)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    chunks = (b" " * 1024 * 1024 for _ in range(17))  # no Content-Length to go by
    reply = service.call("POST", "/v1/images/generations", chunks, kind)
    assert reply.status == 413
