"""Requests: what is refused before anything is sent, and the exact JSON of what is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.request import GenerationRequest

URL = "https://files.example/a.png"


def refused(**asked: Any) -> str:
    asked = {"prompt": "a fox", **asked}
    with pytest.raises(ApiError) as caught:
        GenerationRequest.checked(**asked)
    assert caught.value.kind is Kind.INVALID
    assert not caught.value.not_accepted
    return str(caught.value)


def nested(depth: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(depth):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "must not be empty"),
        (" \t\n\u3000", "must not be empty"),
        (None, "NoneType"),
        (7, "int"),
        (["a fox"], "list"),
        (b"a fox", "bytes"),
        ("x" * 32_001, "32001 characters: at most 32000"),
        ("\N{FOX FACE}" * 32_001, "32001 characters"),
        ("half \ud83e of a fox", "surrogate"),
        ("a fox\x00", "character 5 is NUL, which PostgreSQL refuses"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_a_bad_prompt_is_refused(prompt: object, says: str) -> None:
    message = refused(prompt=prompt)
    assert message.startswith("prompt=")
    assert says in message
    assert len(message) < 400


@pytest.mark.parametrize("prompt", ["x", "x" * 32_000, "\N{FOX FACE}" * 32_000, "  led in\n", "\x01"])
def test_a_good_prompt_is_sent_as_it_is(prompt: str) -> None:
    sent = wire.submission(GenerationRequest.checked(prompt), None)
    assert sent.body is not None
    assert json.loads(sent.body)["prompt"] == prompt


@pytest.mark.parametrize(
    "n",
    [True, False, "1", 1.0, 0, -1, None, [1], float("nan"), 10**5000, -(10**5000)],
    ids=lambda n: repr(type(n)),
)
def test_n_must_be_a_positive_whole_number(n: object) -> None:
    assert refused(n=n).startswith("n=")


@pytest.mark.parametrize("n", [1, 4, 10**6])
def test_the_default_model_names_no_maximum_of_n(n: int) -> None:
    assert GenerationRequest.checked("a fox", n=n).body()["n"] == n


def test_n_as_text_names_the_remedy() -> None:
    assert "render_template_as_native_obj" in refused(n="2")


@pytest.mark.parametrize("value", ["b64_json", "URL", "", None, 1])
@pytest.mark.parametrize("where", ["argument", "extra_body"])
def test_only_urls_can_be_asked_for(value: object, where: str) -> None:
    asked = {"response_format": value}
    message = refused(**asked) if where == "argument" else refused(extra_body=asked)
    assert message.startswith("response_format=")
    assert "'url'" in message


def test_extra_body_does_not_hide_a_bad_response_format() -> None:
    refused(response_format="b64_json", extra_body={"response_format": "url"})


BAD_REFERENCES = [
    "data:image/png;base64,iVBORw0KGgo=",
    "iVBORw0KGgoAAAANSUhEUgAA" * 500,
    "ftp://files.example/a.png",
    "file:///etc/passwd",
    "s3://bucket/a.png",
    "//files.example/a.png",
    "/a.png",
    "a.png",
    "",
    " ",
    "https://",
    "https:///a.png",
    "https://@/a.png",
    "https:files.example",
    "http://[::1",
    " https://files.example/a.png",
    "https://files.example/a b.png",
    "https://files.example/a.png\n",
    "https://files\n.example/a.png",
    "\x00https://files.example/a.png",
    "https://files.example/\x7f",
    "https://files.example/\ud800",
    None,
    3,
    True,
    b"https://files.example/a.png",
    {"url": URL},
    [URL],
]


@pytest.mark.parametrize("bad", BAD_REFERENCES, ids=lambda bad: repr(bad)[:30])
@pytest.mark.parametrize("name", ["reference_images", "image_urls"])
def test_a_reference_that_is_no_http_url_is_refused(bad: object, name: str) -> None:
    for listed in ([bad], (bad,), [URL, bad]):
        message = refused(**{name: listed})
        assert message.startswith(f"{name}=")
        assert len(message) < 500


@pytest.mark.parametrize("bad", [3, True, b"https://files.example", {"url": URL}, {URL}, 3.14], ids=repr)
def test_references_are_one_url_or_a_list(bad: object) -> None:
    assert "one URL or a list" in refused(reference_images=bad)


@pytest.mark.parametrize(
    "asking",
    [
        lambda urls: {"reference_images": urls},
        lambda urls: {"image_urls": urls},
        lambda urls: {"extra_body": {"image_urls": urls}},
    ],
    ids=["reference_images", "image_urls", "extra_body"],
)
@pytest.mark.parametrize(
    ("urls", "sent"),
    [
        (URL, [URL]),
        ([URL], [URL]),
        ((URL, "http://b.example/?q=1#f"), [URL, "http://b.example/?q=1#f"]),
        ([f"https://b.example/{i}" for i in range(16)], [f"https://b.example/{i}" for i in range(16)]),
        ("HTTPS://FILES.example/a.png", ["HTTPS://FILES.example/a.png"]),
        ("https://user@b.example:8443/中.png", ["https://user@b.example:8443/中.png"]),
    ],
)
def test_references_are_sent_under_their_present_name(
    asking: Callable[[Any], dict[str, Any]], urls: Any, sent: list[str]
) -> None:
    body = GenerationRequest.checked("a fox", **asking(urls)).body()
    assert body["reference_images"] == sent
    assert "image_urls" not in body


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_no_references_send_no_field(nothing: object) -> None:
    assert "reference_images" not in GenerationRequest.checked("a fox", reference_images=nothing).body()


@pytest.mark.parametrize(
    "asked",
    [
        {"reference_images": URL, "image_urls": URL},
        {"reference_images": URL, "extra_body": {"image_urls": [URL]}},
        {"image_urls": URL, "extra_body": {"image_urls": ["data:image/png;base64,AA"]}},
        {"extra_body": {"image_urls": ["data:image/png;base64,AA"]}},
    ],
    ids=str,
)
def test_references_are_given_once_and_checked_wherever_they_stand(asked: dict[str, Any]) -> None:
    assert refused(**asked).startswith("image_urls=")


@pytest.mark.parametrize(
    "extra",
    [
        *({name: "x"} for name in ("model", "prompt", "size", "resolution", "n", "reference_images")),
        {"client_business_id": "mine"},
        {7: "x"},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": {1, 2}},
        {"x": b"bytes"},
        {"x": object()},
        {"x": "\ud800"},
        {"\ud800": "x"},
        {"x": "\x00"},
        {"x": [{"y": "a\x00b"}]},
        {"\x00": "x"},
        {"x": nested(100_000)},
        {"x": 10**5000},
        ["x"],
        "quality=high",
        7,
    ],
    ids=lambda extra: type(extra).__name__,
)
def test_extra_body_is_plain_json_without_fields_of_their_own(extra: object) -> None:
    assert refused(extra_body=extra).startswith("extra_body=")


def test_extra_body_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    assert refused(extra_body=endless).startswith("extra_body=")


@pytest.mark.parametrize("extra", [{"x": "\\u0000"}, {"x": ["\x01\x7f", "\ufffe"]}, {"x": nested(400)}])
def test_extra_body_may_hold_every_other_character(extra: dict[str, Any]) -> None:
    assert GenerationRequest.checked("a \\u0000 \x01 fox", extra_body=extra).body()["x"] == extra["x"]


def test_a_request_does_not_change_with_the_dict_it_was_made_from() -> None:
    extra = {"style": {"name": "ink"}}
    request = GenerationRequest.checked("a fox", extra_body=extra)
    extra["style"]["name"] = "oil"
    assert request.body()["style"] == {"name": "ink"}


@pytest.mark.parametrize("name", ["model", "size", "resolution"])
@pytest.mark.parametrize("value", ["", " ", None, 1, ["1:1"], "\ud800", "1:1\x00"], ids=repr)
def test_text_fields_are_texts(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(f"{name}=")


TYPICAL = {"model": "gpt-image-2", "size": "1:1", "resolution": "1K", "n": 1, "response_format": "url"}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"prompt": "a fox"}, {**TYPICAL, "prompt": "a fox"}),
        (
            {"prompt": '狐 "x"', "size": "16:9", "resolution": "4k", "n": 2, "reference_images": URL},
            {
                **TYPICAL,
                "prompt": '狐 "x"',
                "size": "16:9",
                "resolution": "4K",
                "n": 2,
                "reference_images": [URL],
            },
        ),
        (
            {"prompt": "a fox", "model": "later", "extra_body": {"seed": 7, "response_format": "url"}},
            {**TYPICAL, "prompt": "a fox", "model": "later", "seed": 7},
        ),
    ],
)
@pytest.mark.parametrize("business_id", [None, "af-1"])
def test_the_json_that_is_sent(asked: dict[str, Any], sent: dict[str, Any], business_id: str | None) -> None:
    request = wire.submission(GenerationRequest.checked(**asked), business_id)
    assert (request.method, request.path, request.category) == ("POST", "/v1/images/generations", "submit")
    named = {} if business_id is None else {"client_business_id": business_id}
    assert json.loads((request.body or b"").decode("utf-8")) == {**sent, **named}


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=5)
    | st.just(URL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("prompt", "model", "size", "resolution", "n", "reference_images", "image_urls", "extra_body")


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_whatever_is_asked_is_refused_clearly_or_can_be_sent(asked: dict[str, Any]) -> None:
    try:
        request = GenerationRequest.checked(**{"prompt": "a fox", **asked})
    except ApiError as error:
        outcome: object = error.kind
        str(error).encode()
    else:
        outcome = type(json.loads(wire.submission(request, "af-1").body or b""))
    assert outcome in (Kind.INVALID, dict)
