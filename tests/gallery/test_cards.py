"""The gallery's cards, pages, policy and files; what needs a browser or users is among the real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES
from airflow_provider_gptimg.gallery import html, task_cards
from airflow_provider_gptimg.gallery.addresses import Addresses
from airflow_provider_gptimg.gallery.cards import Card, Cost, Place, State, cards_of, origin_of
from airflow_provider_gptimg.gallery.plugin import VIEWS, GptImgGalleryPlugin
from airflow_provider_gptimg.links import ImagesLink, PictureLink
from tests.support.galleries import NOW, PLACE, task

LATER = (NOW + timedelta(hours=3)).isoformat()


def rendered(*cards: Card, query: bytes = b"", **values: Any) -> tuple[str, str]:
    request = Request({"type": "http", "root_path": "/gptimg", "query_string": query, "headers": []})
    group = html.Group("task", list(cards), len(cards))
    known = {
        "title": "t",
        "dag_id": "d",
        "run_id": "r",
        "siblings": 0,
        "number": 1,
        "pages": 1,
        "place": None,
        "is_all": False,
    }
    answer = html.page(request, "task", groups=[group], **{**known, **values})
    return bytes(answer.body).decode(), answer.headers["content-security-policy"]


# As JSON has them: any characters, also halves of pairs, and times at the ends of the calendar.
TEXTS = st.text(st.characters(codec=None)) | st.text(st.sampled_from("a\ud83e\udd8a"), min_size=1)
MOMENTS = st.tuples(st.datetimes(), st.sampled_from(["", "Z", "+14:00", "-10:00"]))
TIMES = MOMENTS.map(lambda parts: parts[0].isoformat() + parts[1])
ENDS = st.sampled_from(["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+14:00"])


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXTS | TIMES | ENDS, st.lists))
def test_whatever_a_record_holds_makes_cards(junk: Any) -> None:
    keys = ("id", "images", "prompt", "expires_at", "created_at", "completed_at", "request", "error", "size")
    picture = {"url": junk, "uri": junk, "width": junk, "sha256": junk}
    for record in (dict.fromkeys(keys, junk), {"images": [picture]}, {"error": {"message": junk}}):
        cards = cards_of(PLACE, record, NOW)
        assert cards
        rendered(*cards)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"images": [{"url": "https://cdn.example/1.png"}], "expires_at": LATER}, State.READY),
        ({"images": [{"url": "https://cdn.example/1.png"}], "expires_at": NOW.isoformat()}, State.EXPIRED),
        ({"images": [{"uri": "s3://b/1.png"}], "expires_at": NOW.isoformat()}, State.READY),
        ({"images": [{"url": "javascript:alert(1)"}], "expires_at": LATER}, State.EXPIRED),
        ({"images": [], "error": {"message": "refused"}}, State.FAILED),
        ({"images": []}, State.COMING),
    ],
)
def test_states(record: dict[str, Any], state: State) -> None:
    assert [card.state for card in cards_of(PLACE, record, NOW)] == [state]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://cdn.example/a?b=c", "https://cdn.example"),
        ("http://127.0.0.1:8787/a", "http://127.0.0.1:8787"),
        ("https://user:pass@cdn.example/a", "https://cdn.example"),
        ("https://*/a", None),
        ("https://cdn.example;script-src/a", None),
        ("https://cdn example/a", None),
        ("data:image/png;base64,AAAA", None),
        ("file:///etc/passwd", None),
        ("https://cdn.example:99999/a", None),
        ("//cdn.example/a", None),
    ],
)
def test_only_a_plain_origin_gets_into_the_policy(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


@settings(deadline=None)
@given(st.text())
def test_no_prompt_writes_markup(prompt: str) -> None:
    hostile = f'{prompt}"><script>alert(1)</script>'
    page, policy = rendered(Card(PLACE, State.READY, prompt=hostile, url="https://cdn.example/1.png"))
    assert page.count("<script") == 2  # its own
    assert policy.endswith("img-src 'self' https://cdn.example")


def test_the_way_to_other_pages_keeps_the_filter() -> None:
    page, _ = rendered(Card(PLACE, State.COMING), query=b"map_index=3&page=2", number=2, pages=3)
    assert 'href="?map_index=3&amp;page=1"' in page
    assert 'href="?map_index=3&amp;page=3"' in page


def test_only_large_pictures_of_the_service_go_through_airflow() -> None:
    live = Card(PLACE, State.READY, url="https://cdn.example/1.png", generation_id="gen_1")
    at = Addresses("/airflow/gptimg")
    for resolution, is_large in ((None, False), ("1K", False), ("2K", True), ("4K", True)):
        card = replace(live, resolution=resolution)
        assert (at.picture(card, small=True) != live.url) is is_large
        assert at.picture(card) == live.url


def test_links_hold_wherever_airflow_lives() -> None:
    at = Addresses("/airflow/gptimg")
    mapped = Place("d", "a/b", "t", 3)
    assert at.airflow_task(mapped) == "/airflow/dags/d/runs/a%2Fb/tasks/t/mapped/3"
    assert at.task(mapped) == "/airflow/gptimg/dags/d/runs/a%2Fb/tasks/t?map_index=3"
    assert at.run_tab("d", "a/b") == f"/airflow/dags/d/runs/a%2Fb/plugin/{VIEWS[1]['url_route']}"
    assert at.latest_tab() == f"/airflow/plugin/{VIEWS[2]['url_route']}"
    looped = replace(mapped, map_index=-1, region_id="0a", region_index=2, iteration=2)
    assert at.task_tab(looped) == (
        f"/airflow/dags/d/runs/a%2Fb/tasks/t/plugin/{VIEWS[0]['url_route']}?region_id=0a&region_index=2"
    )
    assert [html.label(place) for place in (PLACE, mapped, looped)] == ["", "[3]", "iteration 2"]


@pytest.mark.parametrize(
    ("record", "item_id"),
    [
        ({"id": "sku-1", "request": {"prompt": "a"}}, "sku-1"),  # a line of a manifest
        ({"shown": {"id": 0, "prompt": "a"}}, "0"),  # a record of a journal
        ({"id": None, "request": {}}, None),
        ({"id": ["a"]}, None),
    ],
)
def test_a_card_names_its_item(record: dict[str, Any], item_id: str | None) -> None:
    assert [card.item_id for card in cards_of(PLACE, record, NOW)] == [item_id]


@pytest.mark.parametrize(
    ("changes", "state", "message"),
    [
        ({"state": "running", "generation_id": "g"}, State.COMING, None),
        ({"state": "deferred"}, State.COMING, None),
        ({"state": "failed"}, State.FAILED, "The task failed; its log has the service's reason."),
        ({"state": "failed", "error": {"message": "refused"}}, State.FAILED, "refused"),
        ({"state": "upstream_failed"}, State.FAILED, "The task is upstream failed."),
    ],
)
def test_tasks_without_a_result(changes: dict[str, Any], state: State, message: str | None) -> None:
    (card,) = task_cards.cards(task(fields={"prompt": "a fox", "n": 1}, **changes), NOW)
    assert (card.state, card.message, card.prompt) == (state, message, "a fox")


@pytest.mark.parametrize(
    ("where", "mapped", "query"),
    [
        ({"map_index": 3}, "/mapped/3", {"map_index": "3"}),
        ({"map_index": -1}, "", {"map_index": "-1"}),
        (
            {"map_index": -1, "region_id": "0a", "region_index": 2},
            "",
            {"map_index": "-1", "region_id": "0a", "region_index": "2"},
        ),
    ],
)
def test_links_lead_to_the_tab_and_to_the_picture(
    where: dict[str, Any], mapped: str, query: dict[str, str]
) -> None:
    key: Any = SimpleNamespace(dag_id="d", run_id="a/b", task_id="t", **where)
    tab, one = (link.get_link(None, ti_key=key) for link in (ImagesLink(), PictureLink(1)))  # type: ignore[arg-type]
    assert urlsplit(tab).path == f"dags/d/runs/a%2Fb/tasks/t{mapped}/plugin/{VIEWS[0]['url_route']}"
    assert dict(parse_qsl(urlsplit(tab).query)) == {k: v for k, v in query.items() if k != "map_index"}
    assert urlsplit(one).path == "gptimg/dags/d/runs/a%2Fb/tasks/t"
    assert dict(parse_qsl(urlsplit(one).query)) == query
    assert urlsplit(one).fragment == "picture-0-1"


@pytest.mark.skipif(not HAS_PLUGIN_PAGES, reason="This Airflow has no pages of plugins")
def test_the_plugin_serves_what_its_views_name() -> None:
    (app,) = GptImgGalleryPlugin.fastapi_apps
    assert all(view["href"].startswith(app["url_prefix"].lstrip("/") + "/") for view in VIEWS)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"cost_usd": 0.03}, "$0.015"),
        ({"cost_usd": 0.03, "cost_estimated": True}, "about $0.015"),
        ({"cost_usd": 0}, "$0.00"),
        ({"cost_usd": 3}, "$1.50"),
        ({}, None),
        ({"cost_usd": "free"}, None),
        ({"cost_usd": True}, None),
        ({"cost_usd": float("nan")}, None),
    ],
)
def test_a_card_has_its_share_of_the_cost(record: dict[str, Any], text: str | None) -> None:
    images = [{"url": "https://files.example/1.png"}, {"url": "https://files.example/2.png"}]
    card, _ = cards_of(PLACE, {**record, "images": images}, NOW)
    assert (card.cost and html.dollars(card.cost)) == text


def test_a_sum_with_something_unknown_in_it_is_an_estimate() -> None:
    assert Cost.sum([Cost(0.015, is_estimated=False), None]) == Cost(0.015, is_estimated=True)
    assert Cost.sum([None]) is None


MADE_BY = {"dag_id": "catalogue", "run_id": "night", "task_id": "draw", "map_index": -1}


@pytest.mark.parametrize(
    "record",
    [
        {"cached": True, "made_by": MADE_BY},
        {"taken": {"generation_id": "tsk_1", "entry": "s3://c/1", "made_by": MADE_BY}},
    ],
)
def test_a_card_says_that_it_was_taken_from_the_cache(record: dict[str, Any]) -> None:
    (card,) = cards_of(PLACE, {"images": [{"uri": "s3://b/1.png"}], **record}, NOW)
    assert card.is_cached
    assert card.made_by == Place("catalogue", "night", "draw", -1)
    assert card.generation_id == (record.get("taken") or {}).get("generation_id")
