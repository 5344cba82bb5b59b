"""Assets of folders, and what their events say, with Airflow's own classes."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.comms import SucceedTask
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events

from airflow_provider_gptimg.assets import announce, image_asset
from airflow_provider_gptimg.exceptions import GptImgValidationError

CARDS = image_asset("s3://bucket/cards")


def result(*uris: str, prompt: str | None = "a fox") -> dict[str, Any]:
    """Return a result: stored at these URIs, or at the service where there are none."""
    urls = [f"https://files.example/{index}.png" for index in range(len(uris) or 2)]
    images: list[dict[str, Any]] = [{"index": index, "url": url} for index, url in enumerate(urls)]
    for image, uri in zip(images, uris, strict=False):
        image.update(uri=uri, sha256=f"hash of {uri}", bytes=3, width=1, height=1, format="png")
    return {
        "generation_id": "gen_1",
        "status": "completed",
        "model": "gpt-image-2",
        "prompt": prompt,
        "size": "1:1",
        "resolution": "1K",
        "urls": list(uris) or urls,
        "images": images,
        "created_at": "2026-11-01T10:00:00Z",
        "completed_at": "2026-11-01T10:00:20Z",
        "expires_at": "2026-11-02T10:00:20Z",
        "submissions": 1,
        "cost_usd": 0.03,
        "cost_estimated": False,
        "cached": False,
    }


def announced(outlets: list[Any], made: dict[str, Any]) -> OutletEventAccessors:
    events = OutletEventAccessors()
    announce({"outlet_events": events}, outlets, made)
    return events


def sent(events: OutletEventAccessors) -> list[dict[str, Any]]:
    """Return the events as Airflow sends them: through its own message, as JSON."""
    message = SucceedTask(
        end_date=datetime.now(timezone.utc),
        task_outlets=[],
        outlet_events=list(_serialize_outlet_events(events)),
    )
    found: list[dict[str, Any]] = json.loads(message.model_dump_json())["outlet_events"]
    return found


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("s3://bucket/cards", "s3://bucket/cards"),
        ("s3://bucket/cards/", "s3://bucket/cards"),
        ("s3://bucket/cards//", "s3://bucket/cards"),
        (" S3://bucket/cards/ ", "s3://bucket/cards"),
        ("s3://aws_default@bucket/cards", "s3://bucket/cards"),
        ("s3a://bucket/cards", "s3://bucket/cards"),
        ("s3://bucket", "s3://bucket/"),
        ("s3://aws_default@bucket/", "s3://bucket/"),
        ("s3://bucket/a//b/", "s3://bucket/a//b"),
        ("s3://bucket//a", "s3://bucket//a"),
        ("gcs://bucket/cards", "gs://bucket/cards"),
        ("gs://google@bucket/cards", "gs://bucket/cards"),
        ("abfs://wasb_default@container/cards", "abfs://container/cards"),
        ("/data/cards", "file:///data/cards"),
        ("/data//cards/./x/../", "file:///data/cards"),
        ("//data/cards", "file:///data/cards"),
        ("file:///data/cards/", "file:///data/cards"),
        ("file:/data/cards", "file:///data/cards"),
        ("file://fs_default@/data/cards", "file:///data/cards"),
        ("/data/my cards", "file:///data/my cards"),
        ("/data/my%20cards", "file:///data/my%20cards"),
        ("/", "file:///"),
    ],
)
def test_a_folder_is_one_asset_however_it_is_written(written: str, uri: str) -> None:
    asset = image_asset(written)
    assert (asset.uri, asset.name) == (uri, uri)
    assert asset == Asset(uri)
    assert image_asset(asset.uri) == asset


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("s3://bucket/{{ ds }}/", "give the fixed part of the path"),
        ("s3://bucket/{% if 1 %}a{% endif %}", "give the fixed part of the path"),
        ("", "output_path='' is not allowed: a folder's URI such as s3://bucket/cards/"),
        ("  ", "a folder's URI"),
        (None, "a folder's URI"),
        ("cards", "an absolute path"),
        ("file:cards", "an absolute path"),
        ("file://data/cards", "file:// must be followed by an absolute path"),
        ("file://localhost/data/cards", "file:// must be followed by an absolute path"),
        ("C:\\cards", "has no bucket"),
        ("s3:///cards", "has no bucket"),
        ("s3://[bucket/cards", "Invalid IPv6 URL"),
        ("s3://aws_default@/cards", "has no bucket"),
        ("s3://bucket/a?b", r"\? and # end the path"),
        ("/data/a#b", r"\? and # end the path"),
    ],
)
def test_what_cannot_be_an_asset_says_why(written: Any, said: str) -> None:
    with pytest.raises(GptImgValidationError, match=said):
        image_asset(written)


@pytest.mark.parametrize("written", ["airflow://bucket/cards", "s3://bucket/" + "a" * 1500])
def test_what_airflow_refuses_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"reserved|1500 characters"):
        image_asset(written)


def test_name_group_and_extra_are_the_authors() -> None:
    asset = image_asset("/data/cards", name="cards", group="art", extra={"team": "blue"})
    assert (asset.name, asset.uri, asset.group, asset.extra) == (
        "cards",
        "file:///data/cards",
        "art",
        {"team": "blue"},
    )


def test_the_event_says_which_images_are_stored_where() -> None:
    uris = ["s3://bucket/cards/a-0.png", "s3://bucket/cards/a-1.png"]
    assert sent(announced([CARDS], result(*uris))) == [
        {
            "dest_asset_key": {"name": CARDS.name, "uri": CARDS.uri},
            "extra": {
                "generation_id": "gen_1",
                "uris": uris,
                "sha256": [f"hash of {uri}" for uri in uris],
                "expires_at": None,
                "prompt": "a fox",
                "model": "gpt-image-2",
                "size": "1:1",
                "cost_usd": 0.03,
                "cost_estimated": False,
                "cached": False,
            },
        }
    ]


def test_without_stored_files_it_says_until_when_the_urls_work() -> None:
    (event,) = sent(announced([CARDS], result()))
    assert event["extra"]["uris"] == ["https://files.example/0.png", "https://files.example/1.png"]
    assert event["extra"]["sha256"] == []
    assert event["extra"]["expires_at"] == "2026-11-02T10:00:20Z"


def test_what_the_author_said_stays() -> None:
    events = OutletEventAccessors()
    events[CARDS].extra = {"campaign": "winter", "model": "mine"}
    announce({"outlet_events": events}, [CARDS], result())
    extra = events[CARDS].extra
    assert (extra["campaign"], extra["model"], extra["generation_id"]) == ("winter", "mine", "gen_1")


def test_every_asset_of_the_outlets_gets_the_event() -> None:
    events = announced([CARDS, Asset("postcards")], result())
    assert [event["dest_asset_key"]["name"] for event in sent(events)] == [CARDS.name, "postcards"]


def test_an_alias_gets_the_folders_of_what_was_stored() -> None:
    monday = "s3://aws_default@bucket/mon/0.png"
    tuesday = ["s3://bucket/tue/1.png", "s3://bucket/tue/2.png"]
    one, two = sent(announced([AssetAlias("days")], result(monday, *tuesday)))
    assert {event["source_alias_name"] for event in (one, two)} == {"days"}
    assert one["dest_asset_key"] == {"name": "s3://bucket/mon", "uri": "s3://bucket/mon"}
    assert two["dest_asset_key"] == {"name": "s3://bucket/tue", "uri": "s3://bucket/tue"}
    assert (one["extra"]["uris"], one["extra"]["sha256"]) == ([monday], [f"hash of {monday}"])
    assert two["extra"]["uris"] == tuesday


def test_an_alias_event_of_the_author_is_completed_not_doubled() -> None:
    events, alias = OutletEventAccessors(), AssetAlias("days")
    events[alias].add(image_asset("/data/mon/"), extra={"campaign": "winter"})
    announce({"outlet_events": events}, [alias], result("file:///data/mon/0.png"))
    (event,) = sent(events)
    assert (event["extra"]["campaign"], event["extra"]["generation_id"]) == ("winter", "gen_1")


def test_an_alias_gets_nothing_without_stored_files(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "airflow_provider_gptimg.assets"):
        assert sent(announced([AssetAlias("days")], result())) == []
    assert caplog.messages == ["Asset alias days gets no event: without output_path there is no folder."]


def test_outlets_that_have_no_events_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    from airflow.providers.common.compat.lineage.entities import File

    assert sent(announced([File(url="s3://bucket/x"), "text", CARDS | Asset("b")], result())) == []
    assert caplog.messages == []


@pytest.mark.parametrize("context", [{}, {"outlet_events": None}])
def test_no_failure_fails_the_task(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    announce(context, [CARDS], result())
    (said,) = caplog.messages
    assert "does not say which images were made: " in said


def test_a_failure_at_one_outlet_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A reference is looked up at Airflow's supervisor, which is not there; nor is a list a dict."""
    events, odd = OutletEventAccessors(), Asset("odd")
    events[odd].extra = ["not", "a", "dict"]  # type: ignore[assignment]
    unreadable = AssetAlias("days")
    outlets = [odd, Asset.ref(name="elsewhere"), unreadable, CARDS]
    announce({"outlet_events": events}, outlets, result("s3://bucket/a?b/0.png"))
    assert events[CARDS].extra["generation_id"] == "gen_1"
    assert len([said for said in caplog.messages if "does not say which images were made" in said]) == 3
    assert "TypeError: 'list' object is not a mapping" in caplog.messages[0]
