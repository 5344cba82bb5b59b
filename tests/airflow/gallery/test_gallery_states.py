"""What the gallery shows of tasks that are not finished, or have failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import LIVES
from tests.support.gallery_site import RUN, Site, follow, wait_painted

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

SLOW = "/gptimg/dags/gallery_slow/runs/first"


def test_a_picture_that_is_coming_shows_how_far_it_is(site: Site, visit: Callable[..., Any]) -> None:
    site.run("gallery_slow").task("slow").wait("deferred")
    page = visit("/gptimg/dags/gallery_slow/runs/first/tasks/slow")
    bar = page.get_by_role("progressbar", name="A cathedral grown from coral")
    sync_api.expect(bar).to_be_visible()
    page.wait_for_function("() => document.querySelector('progress').value > 0")
    sync_api.expect(page.get_by_text("Still coming")).to_be_visible()

    task = visit("/dags/gallery_slow/runs/first/tasks/slow/details")
    follow(task, "Images")  # also while the task is deferred
    sync_api.expect(task.frame_locator("iframe[title=Images]").get_by_text("Still coming")).to_be_visible()

    assert wait_painted(page) == 1  # by itself, when it is there


def test_a_batch_shows_its_pictures_as_they_come(site: Site, visit: Callable[..., Any]) -> None:
    task = site.run("gallery_slow_batch").task("slow_batch")
    task.wait("running")
    page = visit("/gptimg/dags/gallery_slow_batch/runs/first/tasks/slow_batch")
    while page.locator("p.progress").count() == 0:  # its first line appears with the first submission
        assert task.state() == "running"
        page.reload()
    sync_api.expect(page.locator("p.progress")).to_have_text("2 done, 1 under way, 0 failed, of 3")
    assert wait_painted(page) == 2
    assert task.state() == "running"
    task.wait()
    page.wait_for_function("() => document.querySelectorAll('.card img').length == 3")
    sync_api.expect(page.locator("p.progress")).to_have_count(0)


def test_a_failed_task_says_why_and_has_links(visit: Callable[..., Any]) -> None:
    page = visit("/dags/gallery/runs/first/tasks/refused/details")
    follow(page, "Image 1")
    sync_api.expect(page.locator(".card.failed")).to_contain_text("The service could not make the image")


def test_pictures_that_have_expired_are_said_to_be(site: Site, visit: Callable[..., Any]) -> None:
    live = site.result("live")
    site.replace_result("live", {**live, "expires_at": "2026-01-01T00:00:00+00:00"})
    try:
        page = visit(f"{RUN}/tasks/live")
        sync_api.expect(page.locator(".card.expired")).to_have_count(2)
        sync_api.expect(page.locator(".card.expired").first).to_contain_text(LIVES)
    finally:
        site.replace_result("live", live)
