"""Which pictures a person is shown, out of whatever tasks hand on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.review.pictures import MOST, OF_A_BATCH, is_expired, pictures_in
from tests.support.galleries import png

LONG_AGO, LATER = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
RESULT = {
    "generation_id": "g1",
    "status": "completed",
    "prompt": "A fox " * 50,
    "size": "1:1",
    "resolution": "1K",
    "cost_usd": 0.03,
    "cost_estimated": False,
    "expires_at": LATER,
    "urls": ["https://s.example/0.png", "https://s.example/1.png"],
    "images": [
        {"index": 0, "url": "https://s.example/0.png"},
        {"index": 1, "url": "https://s.example/1.png"},
    ],
}


def refused(given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        pictures_in(given)
    return caught.value


def batch(folder: Path, count: int, **line: Any) -> dict[str, Any]:
    lines = [
        {
            "index": i,
            "id": f"sku-{i}",
            "request": {"prompt": f"Sheet {i}"},
            "generation_id": f"g{i}",
            "cost_usd": 0.015,
            "images": [{"index": 0, "uri": f"file:///s/{i}.png", "sha256": "0" * 64}],
            **line,
        }
        for i in range(count)
    ]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"manifest": path.as_uri(), "total": count, "completed": count, "images": count}


def test_a_result_gives_each_image_with_its_share_of_the_cost() -> None:
    shown = pictures_in(RESULT)
    first, second = shown["pictures"]
    assert (first["index"], second["index"]) == (0, 1)
    assert second["url"] == "https://s.example/1.png"
    assert first["cost_usd"] == 0.015
    assert len(first["prompt"]) == 200
    assert "urls" not in first


def test_results_of_a_mapped_task_and_images_of_results_stand_in_their_order() -> None:
    given = [[RESULT, {**RESULT, "generation_id": "g2"}], RESULT["images"][1], "https://x.example/a.png"]
    pictures = pictures_in(given)["pictures"]
    assert [picture.get("generation_id") for picture in pictures] == ["g1", "g1", "g2", "g2", None, None]
    assert pictures[4]["index"] == 1


def test_what_a_review_chose_can_be_reviewed_again() -> None:
    chosen = {"decision": "approved", "images": [{"number": 2, **pictures_in(RESULT)["pictures"][1]}]}
    assert pictures_in(chosen)["pictures"] == pictures_in(RESULT)["pictures"][1:]


def test_the_first_200_of_a_batch_are_shown(tmp_path: Path) -> None:
    shown = pictures_in(batch(tmp_path, 340))
    assert len(shown["pictures"]) == OF_A_BATCH == 200
    assert shown["left_out"] == 140
    last = shown["pictures"][-1]
    assert (last["id"], last["prompt"], last["cost_usd"]) == ("sku-199", "Sheet 199", 0.015)


def test_no_more_than_fit_one_page(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    shown = pictures_in([batch(tmp_path / "a", 200)] * 3)
    assert (len(shown["pictures"]), shown["left_out"]) == (MOST, 200)


def test_items_without_images_are_passed_over(tmp_path: Path) -> None:
    assert refused(batch(tmp_path, 3, images=[])).kind is Kind.INVALID


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "fox.png"
    file.write_bytes(png(8, 8))
    (picture,) = pictures_in(str(file))["pictures"]
    assert picture["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert picture["uri"] == str(file)


def test_what_has_expired_is_left_out_and_counted() -> None:
    gone = {**RESULT, "expires_at": LONG_AGO}
    assert pictures_in([RESULT, gone])["expired"] == 2
    assert refused(gone).kind is Kind.EXPIRED
    stored = [{"index": 0, "uri": "s3://b/0.png", "sha256": "0" * 64}]
    assert pictures_in({**gone, "images": stored})["expired"] == 0


@pytest.mark.parametrize("when", ["no time", "1 day", 5, "2999-01-01"])
def test_what_is_no_time_never_expires(when: object) -> None:
    assert not is_expired({"url": "https://s.example/0.png", "expires_at": when})


@pytest.mark.parametrize(
    "given", [None, 5, [], "", "None", "['https://a']", {}, {"images": []}, [None], b"png", {"manifest": 5}]
)
def test_what_is_no_picture_is_refused(given: object) -> None:
    error = refused(given)
    assert error.kind is Kind.INVALID
    assert str(error).startswith("images=")


def test_what_is_still_coming_is_refused_by_name() -> None:
    assert "generation g9 was queued" in str(refused({"generation_id": "g9", "status": "queued"}))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert refused(str(tmp_path / "none.png")).kind is Kind.STORAGE
    assert refused({"manifest": str(tmp_path / "none.jsonl")}).kind is Kind.STORAGE
    (tmp_path / "notes.png").write_text("no picture")
    assert refused(str(tmp_path / "notes.png")).kind is Kind.INVALID
