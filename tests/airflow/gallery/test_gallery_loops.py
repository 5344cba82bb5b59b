"""Pictures of a task loop (Airflow 3.4), as a real scheduler runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import task_group

from tests.support.gallery_site import Site, follow, wait_painted

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")


@task_group
def body() -> None:
    """Make nothing: what an Airflow can do with it is asked."""


pytestmark = pytest.mark.skipif(not hasattr(body, "loop"), reason="This Airflow has no task loops")

RUN = "/gptimg/dags/gallery_loop/runs/first"
TASK = "/dags/gallery_loop/runs/first/tasks/drafts.draft"


@pytest.fixture(scope="module")
def looped(site: Site) -> Site:
    """The Airflow, once the loop has been run."""
    site.run("gallery_loop").wait(240)
    return site


def test_pictures_stand_by_iteration(looped: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/drafts.posters")
    assert wait_painted(page) == 4
    assert page.locator(".iteration").all_text_contents() == ["iteration 0", "iteration 1"]
    prompts = page.locator(".caption .prompt").all_text_contents()
    assert [prompt.rpartition(" ")[2] for prompt in prompts] == ["0", "0", "1", "1"]

    page = visit(f"{RUN}/tasks/drafts.catalogue")
    assert wait_painted(page) == 4
    assert page.locator(".item").all_text_contents() == ["sku-0", "sku-1"] * 2


def test_the_tab_of_an_iteration_shows_its_own(looped: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/drafts.draft")
    page.get_by_role("link", name="iteration 1", exact=True).click()
    page.wait_for_url("**region_index=1")
    page.get_by_role("link", name="This task in Airflow").click()
    page.wait_for_url(f"**{TASK}?**")
    details = page.url.replace("?", "/details?")
    page.goto(details)
    follow(page, "Images")
    page.wait_for_url("**/plugin/gptimg-images?**")
    frame = page.frame_locator("iframe[title=Images]")
    sync_api.expect(frame.locator(".card")).to_have_count(1)
    sync_api.expect(frame.locator(".caption .prompt")).to_contain_text("draft 1")
    page.goto(details)
    follow(page, "Image 1")
    sync_api.expect(page.get_by_role("dialog").locator("p.prompt")).to_contain_text("draft 1")
