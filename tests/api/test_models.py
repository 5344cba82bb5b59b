"""The size table, and the sister models, as the service's documentation gives them."""

from __future__ import annotations

import re

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.models import pixels
from airflow_provider_gptimg.api.request import GenerationRequest, unchecked

# Copied from the service's page, cell by cell, and not from the code.
PAGE = """
| 1:1  | 1024x1024     | 2048x2048 | Not supported |
| 3:2  | 1536x1024     | 2048x1360 | Not supported |
| 2:3  | 1024x1536     | 1360x2048 | Not supported |
| 4:3  | Not supported | 2048x1536 | Not supported |
| 3:4  | Not supported | 1536x2048 | Not supported |
| 5:4  | Not supported | 2560x2048 | Not supported |
| 4:5  | Not supported | 2048x2560 | Not supported |
| 16:9 | Not supported | 2048x1152 | 3840x2160     |
| 9:16 | Not supported | 1152x2048 | 2160x3840     |
| 2:1  | Not supported | 2688x1344 | 3840x1920     |
| 1:2  | Not supported | 1344x2688 | 1920x3840     |
| 21:9 | Not supported | 2688x1152 | 3840x1648     |
| 9:21 | Not supported | 1152x2688 | 1648x3840     |
"""
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.strip().splitlines()]
CELLS = [(row[0], tier, row[i]) for row in ROWS for i, tier in enumerate(("1K", "2K", "4K"), 1)]
SUPPORTED = [cell for cell in CELLS if cell[2] != "Not supported"]
REFUSED = [(size, tier) for size, tier, cell in CELLS if cell == "Not supported"]


def test_the_page_has_22_supported_and_17_refused_cells() -> None:
    assert (len(CELLS), len(SUPPORTED), len(REFUSED)) == (39, 22, 17)


@pytest.mark.parametrize(("size", "resolution", "promised"), SUPPORTED)
@pytest.mark.parametrize("lower", [False, True], ids=["2K", "2k"])
def test_a_supported_cell_passes_with_its_pixels(
    size: str, resolution: str, promised: str, lower: bool
) -> None:
    asked = resolution.lower() if lower else resolution
    body = GenerationRequest.checked("a fox", size=size, resolution=asked).body()
    assert (body["size"], body["resolution"]) == (size, resolution)
    width, height = promised.split("x")
    assert pixels("gpt-image-2", size, asked) == (int(width), int(height))
    assert pixels("gpt-image-2-vip", size, asked) is None, "nobody says what its ratios give"


@pytest.mark.parametrize(("size", "resolution"), REFUSED)
def test_a_refused_cell_names_what_would_do(size: str, resolution: str) -> None:
    with pytest.raises(ApiError) as caught:
        GenerationRequest.checked("a fox", size=size, resolution=resolution)
    assert caught.value.kind is Kind.INVALID
    here = [s for s, tier, _ in SUPPORTED if tier == resolution]
    elsewhere = [tier for s, tier, _ in SUPPORTED if s == size]
    assert str(caught.value) == (
        f"size='{size}' is not allowed: at resolution {resolution}, gpt-image-2 takes {', '.join(here)}; "
        f"size {size} is offered at resolution {', '.join(elsewhere)}."
    )
    assert pixels("gpt-image-2", size, resolution) is None


@pytest.mark.parametrize("size", ["7:5", "1024x1024", "1:1 ", "\uff11:\uff11", "auto"])
def test_a_size_of_no_resolution_is_refused_as_such(size: str) -> None:
    with pytest.raises(ApiError, match=re.escape(f"no resolution offers size {size}")):
        GenerationRequest.checked("a fox", size=size)


@pytest.mark.parametrize("resolution", ["3K", "8K", "1024", "1 K", "K"])
def test_an_unknown_resolution_names_the_known_ones(resolution: str) -> None:
    with pytest.raises(ApiError, match=re.escape(f"resolution='{resolution}' is not allowed")) as caught:
        GenerationRequest.checked("a fox", resolution=resolution)
    assert "1K, 2K, 4K" in str(caught.value)


ALLOWED_OF_SISTERS = [
    *(
        ({"model": "gpt-image-2-vip", "size": row[0], "resolution": tier})
        for row in ROWS
        for tier in ("1K", "2K", "4K")
    ),
    *(
        {"model": "gpt-image-2-vip", "extra_body": {"quality": quality}}
        for quality in ("low", "medium", "high")
    ),
    {"model": "gpt-image-2.5-flare", "extra_body": {"background": "transparent"}},
    {"model": "gpt-image-2.5-sunburst", "n": 1},
    {"model": "gpt-image-2.5-flare-vip", "size": "1536x1024"},
    {"model": "gpt-image-2.5-sunburst-vip", "size": "1024x1024"},
    {"model": "tomorrow", "size": "anything", "resolution": "16K", "n": 400, "extra_body": {"mood": [1]}},
]


@pytest.mark.parametrize("asked", ALLOWED_OF_SISTERS, ids=str)
def test_what_sister_and_unknown_models_offer_passes(asked: dict[str, object]) -> None:
    body = GenerationRequest.checked("a fox", **asked).body()
    extra = asked.pop("extra_body", {})
    assert {**asked, **extra}.items() <= body.items()  # type: ignore[dict-item]


def test_a_model_with_pixel_sizes_gets_no_resolution() -> None:
    request = GenerationRequest.checked("a fox", model="gpt-image-2.5-flare-vip", size="1536x1024")
    assert "resolution" not in request.body()
    assert pixels(request.model, request.size, request.resolution) == (1536, 1024)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"model": "gpt-image-2-vip", "size": "7:5"}, "size='7:5'"),
        ({"model": "gpt-image-2-vip", "extra_body": {"quality": "best"}}, "low, medium, high"),
        ({"model": "gpt-image-2-vip", "extra_body": {"quality": ["low"]}}, "low, medium, high"),
        ({"model": "gpt-image-2.5-flare", "n": 2}, "n=2"),
        ({"model": "gpt-image-2.5-sunburst", "n": 2}, "n=2"),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1:1"}, "size='1:1'"),
        ({"model": "gpt-image-2.5-flare-vip"}, "1536x1024"),
        ({"model": "gpt-image-2.5-flare-vip", "size": "0x1024"}, "size='0x1024'"),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1\u066536x1024"}, "size="),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1536x1024\n"}, "size="),
        ({"model": "gpt-image-2.5-flare-vip", "size": "1536x1024", "resolution": "4K"}, "resolution='4K'"),
    ],
)
def test_what_a_sister_model_does_not_offer_is_refused(asked: dict[str, object], names: str) -> None:
    with pytest.raises(ApiError) as caught:
        GenerationRequest.checked("a fox", **asked)
    assert caught.value.kind is Kind.INVALID
    assert names in str(caught.value)


UNCHECKED = [
    ("gpt-image-2", "4:3", "1K"),
    ("gpt-image-2", "1:1", "4K"),
    ("gpt-image-2", "1:1", "8K"),
    ("gpt-image-2", "1536x1024", "1K"),
    ("gpt-image-2-vip", "1536x1024", "4K"),
    ("gpt-image-2.5-flare-vip", "16:9", "4K"),
]


@pytest.mark.parametrize(("model", "size", "resolution"), UNCHECKED)
def test_without_the_check_the_service_decides_and_no_pixels_are_promised(
    model: str, size: str, resolution: str
) -> None:
    asked = {"model": model, "size": size, "resolution": resolution}
    with pytest.raises(ApiError):
        GenerationRequest.checked("a fox", **asked)
    request = GenerationRequest.checked("a fox", **asked, check_sizes=False)
    assert asked.items() <= request.body().items()
    assert pixels(model, size, resolution) is None


def test_without_the_check_what_is_no_matter_of_sizes_is_checked_all_the_same() -> None:
    for asked in ({"n": 0}, {"size": ""}, {"model": "gpt-image-2.5-flare", "n": 2}, {"resolution": None}):
        with pytest.raises(ApiError):
            GenerationRequest.checked("a fox", **asked, check_sizes=False)
    assert pixels("gpt-image-2", "16:9", "4K") == (3840, 2160)


def test_what_was_not_checked_is_one_line() -> None:
    assert unchecked({("4:3", "1K")}) == (
        "Not checked, because check_sizes is off in the connection: size='4:3' at resolution='1K'."
    )
    assert unchecked({(f"{n}:1", "1K") for n in range(9)}).endswith("and 4 more.")
