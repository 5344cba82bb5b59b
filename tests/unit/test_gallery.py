"""The gallery's cards, pages, policy and files; what needs a browser or users is among the real ones."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.requests import Request

from airflow_provider_gptimg.batch.journal import COMPLETED, FAILED, INTENDED, SUBMITTED, Journal
from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.gallery import html, shelves
from airflow_provider_gptimg.gallery.files import Gone, Thumbnails, manifest_lines, read_picture
from airflow_provider_gptimg.gallery.pictures import Card, Place, State, cards_of, origin_of
from airflow_provider_gptimg.gallery.plugin import VIEWS, GptImgGalleryPlugin
from airflow_provider_gptimg.gallery.records import Task
from airflow_provider_gptimg.gallery.service import generation_now, live_picture
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.links import HAS_GALLERY, ImagesLink

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
PLACE = Place("dag", "run", "task", -1)
LATER = (NOW + timedelta(hours=3)).isoformat()


def task(**changes: Any) -> Task:
    known = {"place": PLACE, "state": "success", "started": NOW, "ended": NOW, "result": None}
    return Task(**{**known, "generation_id": None, "error": None, "batch": None, "fields": {}, **changes})


def stored(path: Path, content: bytes, **changes: Any) -> Card:
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    known = {"uri": path.as_uri(), "sha256": digest, "bytes": len(content)}
    return Card(PLACE, State.READY, **{**known, **changes})


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((width, height), 50).save(target, "PNG")
    return target.getvalue()


def rendered(*cards: Card, query: bytes = b"", **values: Any) -> tuple[str, str]:
    request = Request({"type": "http", "root_path": "/gptimg", "query_string": query, "headers": []})
    group = html.Group("task", list(cards), len(cards), "/x", None, None)
    known = {"title": "t", "dag_id": "d", "run_id": "r", "siblings": 0, "number": 1, "pages": 1}
    answer = html.page(request, "task", groups=[group], **{**known, **values})
    return bytes(answer.body).decode(), answer.headers["content-security-policy"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_a_record_holds_makes_cards(junk: Any) -> None:
    keys = ("images", "prompt", "expires_at", "created_at", "completed_at", "request", "error", "size")
    for record in (dict.fromkeys(keys, junk), {"images": [{"url": junk, "uri": junk, "width": junk}]}):
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


def test_a_picture_is_sent_if_it_is_what_was_stored(tmp_path: Path) -> None:
    content = png(20, 10)
    assert read_picture(stored(tmp_path / "a.png", content)) == content


@pytest.mark.parametrize(
    "changes", [{"sha256": "0" * 64}, {"sha256": None}, {"uri": "file:///nonexistent"}, {"bytes": 10**9}]
)
def test_anything_else_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Gone):
        read_picture(stored(tmp_path / "a.png", png(20, 10), **changes))


def test_a_file_that_is_no_picture_is_not_sent_though_its_hash_is_right(tmp_path: Path) -> None:
    with pytest.raises(Gone):
        read_picture(stored(tmp_path / "a.png", b"[database]\npassword = x"))


def test_thumbnails_are_small_made_once_and_bounded(tmp_path: Path) -> None:
    reads: list[Card] = []

    def get(thumbnails: Thumbnails, card: Card) -> bytes:
        return thumbnails.get(str(card.sha256), lambda: (reads.append(card), read_picture(card))[1])

    cards = [stored(tmp_path / f"{side}.png", png(side, 600)) for side in (900, 901, 902)]
    sizes = [len(get(Thumbnails(), card)) for card in cards]
    reads.clear()
    thumbnails = Thumbnails(most_bytes=sizes[0] + max(sizes[1:]))
    for card in (cards[0], cards[0], cards[1], cards[0]):
        small = get(thumbnails, card)
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.size == (480, 320)
    assert reads == cards[:2]
    get(thumbnails, cards[2])  # the least used one makes room
    get(thumbnails, cards[0])
    assert reads == cards
    get(thumbnails, cards[1])
    assert reads == [*cards, cards[1]]


@pytest.fixture
def running(tmp_path: Path) -> Journal:
    """The journal of a batch that is under way: one stored, one submitted, one failed, of more."""
    journal = Journal(ObjectStoragePath(tmp_path.as_uri()), attempt=1)
    for index, digest in enumerate(("a", "b", "c")):
        shown = {"index": index, "prompt": f"no. {index}", "size": "2:3"}
        journal.note(
            digest, SUBMITTED, shown=shown, generation_id=f"gen_{index}", submitted_at=NOW.timestamp()
        )
    journal.flush()
    journal.note("d", INTENDED)
    return journal


def test_a_batch_that_is_under_way_shows_what_it_has_done(running: Journal, tmp_path: Path) -> None:
    batch = task(state="running", batch={"journal": tmp_path.as_uri(), "total": 5})
    assert [card.state for card in shelves.cards(batch, NOW)] == [State.COMING] * 3
    assert shelves.progress(batch) == "0 done, 3 under way, 0 failed, of 5"

    image = {"index": 0, "uri": "s3://b/1.png", "sha256": "0" * 64}
    running.note("b", COMPLETED, shown={"index": 1, "prompt": "no. 1"}, images=[image])
    running.note("c", FAILED, shown={"index": 2, "prompt": "no. 2"}, error={"message": "not drawn"})
    running.flush()
    coming, ready, failed = shelves.cards(batch, NOW)
    assert (coming.state, coming.since, coming.generation_id) == (State.COMING, NOW, "gen_0")
    assert (ready.state, ready.prompt, ready.item) == (State.READY, "no. 1", 1)
    assert (failed.state, failed.message) == (State.FAILED, "not drawn")
    assert shelves.card_at(batch, 1, 0, NOW) == ready
    assert shelves.cards(batch, NOW, start=1, count=1) == [ready]
    assert shelves.item_count(batch) == 3
    assert shelves.progress(batch) == "1 done, 1 under way, 1 failed, of 5"

    running.compact()  # other segments, the same facts
    assert shelves.cards(batch, NOW) == [coming, ready, failed]
    assert shelves.cards(replace(batch, state="failed"), NOW)[0].state is State.FAILED


def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="journal"):
        shelves.cards(task(state="running", batch={"journal": "nowhere://x", "total": 5}), NOW)
    assert shelves.cards(task(state="running", batch={"journal": f"{tmp_path}/none"}), NOW) == []


def test_progress_comes_from_the_service(emulator: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    generation = GptImgHook().submit("[slow] A cathedral")
    asked = [generation_now("gptimg_default", generation.id) for _ in range(20)]
    assert isinstance(asked[0].progress, int)
    assert emulator.ledger()["requests"]["status"] == 1  # the others got the same answer
    with pytest.raises(Gone):
        generation_now("gptimg_default", "no-such-generation")
    with pytest.raises(Gone):
        generation_now("no_such_connection", generation.id)


def test_a_large_picture_of_the_service_is_fetched_once_and_scaled(
    emulator: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    hook = GptImgHook()
    done = hook.wait(hook.submit("A reef", size="16:9", resolution="2K").id, poll_interval=0.1)
    whole = live_picture("gptimg_default", done.id, 0)
    small = Thumbnails().get("any", lambda: whole)
    with Image.open(io.BytesIO(whole)) as picture:
        assert picture.width > 2000
    assert len(small) < len(whole) / 10
    with pytest.raises(Gone, match="no such picture"):
        live_picture("gptimg_default", done.id, 1)


def test_only_large_pictures_of_the_service_go_through_airflow() -> None:
    live = Card(PLACE, State.READY, url="https://cdn.example/1.png", generation_id="gen_1")
    for resolution, is_large in ((None, False), ("1K", False), ("2K", True), ("4K", True)):
        card = replace(live, resolution=resolution)
        assert (html.source(card, "/g", small=True) != live.url) is is_large
        assert html.source(card, "/g", small=False) == live.url


def test_pages_of_a_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    lines = [{"request": {"prompt": str(n)}, "images": [{"uri": f"s3://b/{n}"}]} for n in range(100)]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    batch = task(result={"manifest": manifest.as_uri(), "completed": 100, "failed": 0})
    assert shelves.item_count(batch) == 100
    assert [card.item for card in shelves.cards(batch, NOW, start=96)] == [96, 97, 98, 99]
    assert shelves.card_at(batch, 50, 0, NOW).uri == "s3://b/50"
    with pytest.raises(Gone):
        shelves.card_at(batch, 50, 1, NOW)


def test_a_file_that_is_no_manifest_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0\n")
    with pytest.raises(Gone, match="cannot be read") as refused:
        manifest_lines((tmp_path / "passwd").as_uri(), 0, 10)
    assert "root:x" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/m.jsonl", "https://internal/m.jsonl", "file:///dev/zero"]
)
def test_a_manifest_elsewhere_is_not_fetched(uri: str) -> None:
    with pytest.raises(Gone, match="cannot be read from storage") as refused:
        manifest_lines(uri, 0, 10)
    assert isinstance(refused.value.__cause__, ValueError)  # of Airflow or the parser: nothing was called


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
    (card,) = shelves.cards(task(fields={"prompt": "a fox", "n": 1}, **changes), NOW)
    assert (card.state, card.message, card.prompt) == (state, message, "a fox")


def test_links_lead_to_the_tab() -> None:
    key = SimpleNamespace(dag_id="d", run_id="a/b", task_id="t", map_index=3)
    link = ImagesLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
    assert link == "dags/d/runs/a%2Fb/tasks/t/mapped/3/plugin/gptimg-images"
    assert link.endswith("/plugin/" + VIEWS[0]["url_route"])


@pytest.mark.skipif(not HAS_GALLERY, reason="Airflow 3.0 has no pages of plugins")
def test_the_plugin_serves_what_its_views_name() -> None:
    (app,) = GptImgGalleryPlugin.fastapi_apps
    assert all(view["href"].startswith(app["url_prefix"].lstrip("/") + "/") for view in VIEWS)
