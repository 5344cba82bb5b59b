"""What stands on Airflow's page "Required Actions"."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airflow_provider_gptimg.gallery.addresses import Addresses
from airflow_provider_gptimg.gallery.cards import Card, Place, State
from airflow_provider_gptimg.review.page import amount_of, body_of, plain
from airflow_provider_gptimg.review.pictures import Pictures

TI = SimpleNamespace(dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="look", map_index=-1)
MARKDOWN = MarkdownIt("commonmark")
STORED = {"index": 3, "uri": "s3://b/x.png", "sha256": "ab" * 32, "width": 1024, "height": 1536}


def body(*pictures: dict[str, Any], **counts: int) -> str:
    shown = Pictures(
        pictures=list(pictures), left_out=counts.get("left_out", 0), expired=counts.get("expired", 0)
    )
    return body_of(shown, TI, text=None, task="**Choose**")


def test_a_stored_picture_comes_from_the_gallery_and_has_its_number() -> None:
    text = body({**STORED, "prompt": "A fox", "cost_usd": 0.0125})
    place = Place(TI.dag_id, TI.run_id, TI.task_id, -1)
    card = Card(place, State.READY, item=0, index=3, uri="s3://b/x.png", sha256="ab" * 32)
    large = Addresses("gptimg").picture(card)
    assert f"]({large})" in text
    assert f"]({Addresses('gptimg').picture(card, small=True)})" in text
    assert "![Picture 1: A fox]" in text
    assert "**1** · A fox · 1024 × 1536 · $0.0125" in text  # noqa: RUF001
    assert "s3://" not in text


def test_a_live_picture_comes_from_the_gallery_too() -> None:
    url = "https://s.example/0.png"
    text = body({"index": 0, "generation_id": "g1", "url": url, "size": "1:1", "resolution": "2K"})
    assert url not in text
    assert "small=1&live=1" in text
    assert "**1** · 1:1 2K" in text


def test_an_address_of_somebody_else_stays_one_address() -> None:
    text = body({"index": 0, "url": "https://x.example/a (1).png)[click](https://evil.example"})
    html = MARKDOWN.render(text)
    assert html.count("<a ") == html.count("<img ") == 1


def test_what_is_not_shown_is_said() -> None:
    text = body(STORED, left_out=140, expired=2)
    assert "These are the first 1; 140 more are not shown." in text
    assert "2 more are gone" in text


@pytest.mark.parametrize(
    ("least", "most", "there_are", "words"),
    [(1, 1, 4, "1 image"), (2, 2, 4, "2 images"), (1, 4, 4, "1 or more images"), (1, 3, 4, "1 to 3 images")],
)
def test_how_many(least: int, most: int, there_are: int, words: str) -> None:
    assert amount_of(least, most, there_are) == words


@given(st.text(min_size=1, max_size=80))
def test_a_prompt_is_text_whatever_it_says(prompt: str) -> None:
    html = MARKDOWN.render(f"**1** · {plain(prompt)}")
    assert html.startswith("<p><strong>1</strong> ·")
    assert {part.split(">")[0] for part in html.split("<")[1:]} == {"p", "strong", "/strong", "/p"}
