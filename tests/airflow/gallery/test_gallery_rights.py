"""Who sees which pictures, and what is ever sent."""

from __future__ import annotations

import json

import pytest

from tests.support.gallery_site import RUN, Site

PROTECTED = [
    RUN,
    f"{RUN}/tasks/cover",
    f"{RUN}/tasks/cover/-1/pictures/0/0",
    f"{RUN}/tasks/cover/-1/pictures/0/0?small=1",
    f"{RUN}/tasks/cover/-1/progress/0",
]


@pytest.mark.parametrize("path", PROTECTED)
def test_pictures_are_for_those_who_may_see_the_task(site: Site, path: str) -> None:
    assert site.get(path, None).status_code == 401
    assert site.get(path, "stranger").status_code == 403
    assert site.get(path, "half").status_code == 403  # may see the task, but not its XComs
    assert site.get(path, "admin").status_code == 200


def test_the_latest_pictures_leave_out_what_one_may_not_see(site: Site) -> None:
    assert site.get("/gptimg/", None).status_code == 401
    assert "Rain over a night market" in site.get("/gptimg/").text
    for user in ("stranger", "half"):
        answer = site.get("/gptimg/", user)
        assert answer.status_code == 200
        assert "Rain over a night market" not in answer.text
        assert "No pictures yet" in answer.text


def test_only_pictures_that_the_task_stored_are_sent(site: Site) -> None:
    assert site.get(f"{RUN}/tasks/live/-1/pictures/0/0").status_code == 404  # the service has it
    assert site.get(f"{RUN}/tasks/cover/-1/pictures/0/9").status_code == 404
    whole = site.get(f"{RUN}/tasks/cover/-1/pictures/0/0")
    small = site.get(f"{RUN}/tasks/cover/-1/pictures/0/0?small=1")
    assert whole.headers["content-type"] == "image/png"
    assert small.headers["content-type"] == "image/webp"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert len(small.content) < len(whole.content) / 5

    stored = site.result("posters", 0)
    secret = site.folder / "secret.png"
    secret.write_bytes(b"\x89PNG\r\n\x1a\n not what the task stored")
    stored["images"][0]["uri"] = secret.as_uri()
    site.replace_result("posters", stored, 0)
    answer = site.get(f"{RUN}/tasks/posters/0/pictures/0/0")
    assert answer.status_code == 404
    assert b"not what" not in answer.content


def test_the_manifest_of_another_task_is_not_shown(site: Site) -> None:
    own = site.result("posters", 1)
    assert "no. 1" in site.get(f"{RUN}/tasks/catalogue").text
    theirs = {"manifest": site.result("catalogue")["manifest"], "completed": 100, "failed": 0}
    site.replace_result("posters", theirs, 1)
    try:
        page = site.get(f"{RUN}/tasks/posters?map_index=1").text
        assert "does not belong to the task" in page
        assert "no. 1" not in page
        assert site.get(f"{RUN}/tasks/posters/1/pictures/0/0").status_code == 404
    finally:
        site.replace_result("posters", own, 1)


def test_a_large_picture_of_the_service_is_scaled_down_by_its_id_alone(site: Site) -> None:
    address = f"{RUN}/tasks/vista/-1/pictures/0/0"
    assert site.get(address).status_code == 404  # in full it is the browser that loads it
    small = site.get(f"{address}?small=1")
    assert small.headers["content-type"] == "image/webp"
    assert len(small.content) < 200_000

    elsewhere = site.result("vista")
    elsewhere["generation_id"] = "another"
    elsewhere["images"][0]["url"] = f"{site.stack.base_url}/api/v2/monitor/health"
    site.replace_result("vista", elsewhere)
    assert site.get(f"{address}?small=1").status_code == 404  # an address out of an XCom is never fetched


def test_the_policy_names_the_hosts_of_the_page_and_nothing_else(site: Site) -> None:
    live = site.get(f"{RUN}/tasks/live").headers["content-security-policy"]
    service = json.loads(site.emulator.airflow_connection)["host"].rstrip("/")
    assert live.endswith(f"img-src 'self' {service}")
    stored = site.get(f"{RUN}/tasks/posters").headers["content-security-policy"]
    assert stored.endswith("img-src 'self'")
    assert "unsafe" not in live + stored


def test_pages_are_light(site: Site) -> None:
    parts = [
        f"{RUN}/tasks/catalogue",
        *(f"/gptimg/static/{n}" for n in ("gallery.css", "gallery.js", "frame.js")),
    ]
    assert sum(len(site.get(part).content) for part in parts) < 200_000
