"""What a stranger sees who looks for the pictures of finished tasks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import FIGURES
from tests.support.gallery_site import MARKUP, RUN, Site, follow, wait_painted

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

IN_VIEW = """() => [...document.querySelectorAll(".card img")]
    .filter(image => image.getBoundingClientRect().top < innerHeight)"""
FIRST_PAINTED = f"() => ({IN_VIEW})().some(image => image.naturalWidth)"
ALL_PAINTED = f"() => ({IN_VIEW})().every(image => image.complete && image.naturalWidth)"
TASK = "/dags/gallery/runs/first/tasks/cover"


def test_the_tab_of_a_task_shows_its_pictures_and_one_in_full(visit: Callable[..., Any]) -> None:
    page = visit(TASK)
    page.locator("a[href*='/plugin/gptimg-images']").first.click()
    frame = page.frame_locator("iframe[title=Images]")
    assert wait_painted(frame) == 1
    frame.get_by_role("img", name="Rain over a night market").click()
    dialog = frame.get_by_role("dialog")
    full = dialog.locator("figure img")
    sync_api.expect(full).to_have_js_property("naturalWidth", 3840)
    assert dialog.get_by_text("SHA-256").is_visible()
    dialog.get_by_role("button", name="Copy Generation id").click()
    sync_api.expect(dialog.get_by_role("status")).to_have_text("Copied")
    page.keyboard.press("Escape")
    sync_api.expect(dialog).to_be_hidden()


def test_links_of_a_task_lead_to_its_pictures(visit: Callable[..., Any]) -> None:
    page = visit(f"{TASK}/details")
    follow(page, "Images")
    assert wait_painted(page.frame_locator("iframe[title=Images]")) == 1
    page.go_back()
    follow(page, "Image 1")
    full = page.get_by_role("dialog").locator("figure img")
    sync_api.expect(full).to_have_js_property("naturalWidth", 3840)


def test_a_picture_opens_in_a_tab_and_is_downloaded(
    site: Site, visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit("/plugin/gptimg-latest")
    frame = page.frame_locator("iframe[title=Images]")
    frame.get_by_role("img", name="Rain over a night market, lanterns").click()
    dialog = frame.get_by_role("dialog")
    with page.expect_popup() as opened:
        dialog.get_by_role("link", name="Open").click()
    opened.value.wait_for_function("() => document.images[0]?.naturalWidth == 3840")
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    (stored,) = site.folder.glob("cover-*.png")
    assert download.value.suggested_filename == stored.name
    download.value.save_as(tmp_path / "kept.png")
    assert (tmp_path / "kept.png").read_bytes() == stored.read_bytes()


def test_a_picture_of_the_service_is_downloaded(visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/live")
    page.locator("button.frame").first.click()
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith("-0.png")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_links_lead_out_of_the_frame_and_back(visit: Callable[..., Any]) -> None:
    page = visit("/")
    page.get_by_role("link", name="Images", exact=True).or_(
        page.get_by_role("button", name="Images", exact=True)
    ).first.click()
    page.wait_for_url("**/plugin/gptimg-latest**")
    frame = page.frame_locator("iframe[title=Images]")
    frame.get_by_role("link", name="cover", exact=True).first.click()
    page.wait_for_url("**/tasks/cover/plugin/gptimg-images")
    frame.get_by_role("img", name="Rain over a night market").click()
    frame.get_by_role("dialog").get_by_role("link", name="gallery · cover").click()
    page.wait_for_url(f"**{TASK}")
    assert len(page.frames) == 1  # no page within a page

    page.goto(page.url.partition("/dags/")[0] + f"{RUN}/tasks/cover")
    page.get_by_role("link", name="Images of this run").click()
    page.wait_for_url(f"**{RUN}")
    page.get_by_role("link", name="Images", exact=True).click()
    page.wait_for_url("**/gptimg/")


def test_a_prompt_is_text_whatever_it_says(visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/live")
    assert wait_painted(page) == 2
    assert page.title() == "Images of live"
    assert page.locator(".caption .prompt").first.text_content() == MARKUP
    assert page.locator(".card script, .card img[src=x]").count() == 0


def test_a_batch_is_paged(visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/catalogue")
    assert wait_painted(page) == 48
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Next").click()
    assert wait_painted(page) == 4
    assert "no. 100" in page.locator(".caption .prompt").last.text_content()


def test_a_run_groups_by_task_and_says_what_failed(visit: Callable[..., Any]) -> None:
    page = visit(RUN)
    assert {text.split()[0] for text in page.locator("h2 a").all_text_contents()} == {
        "cover", "live", "posters", "refused", "catalogue", "vista",
    }  # fmt: skip
    failed = page.locator(".card.failed")
    assert failed.count() == 1
    assert "The service could not make the image" in failed.inner_text()
    page.get_by_role("link", name="Show all 100").click()
    page.wait_for_url("**/tasks/catalogue?**")


def test_the_latest_are_filtered(visit: Callable[..., Any]) -> None:
    page = visit("/plugin/gptimg-latest").frame_locator("iframe")
    page.get_by_role("searchbox", name="Prompt").fill("night MARKET, lanterns")
    page.get_by_role("button", name="Filter").click()
    sync_api.expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("From").fill("2099-01-01")
    page.get_by_role("button", name="Filter").click()
    sync_api.expect(page.get_by_text("Nothing matches.")).to_be_visible()


def test_the_keyboard_reaches_everything(visit: Callable[..., Any]) -> None:
    page = visit(f"{RUN}/tasks/posters")
    wait_painted(page)
    frames = page.locator("button.frame")
    frames.nth(1).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    sync_api.expect(dialog.locator("p.prompt")).to_have_text(frames.nth(1).get_attribute("data-prompt"))
    page.keyboard.press("ArrowRight")
    sync_api.expect(dialog.locator("p.prompt")).to_have_text(frames.nth(2).get_attribute("data-prompt"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    sync_api.expect(dialog.get_by_role("button", name="Previous")).to_be_disabled()
    page.keyboard.press("Escape")
    sync_api.expect(dialog).to_be_hidden()
    sync_api.expect(frames.nth(0)).to_be_focused()
    alts = page.locator(".card img").evaluate_all("images => images.map(image => image.alt)")
    assert alts == page.locator(".caption .prompt").all_text_contents()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [RUN, f"{RUN}/tasks/live", "/gptimg/", "/gptimg/?dag_id=none"])
def test_axe_finds_nothing(visit: Callable[..., Any], path: str, scheme: str) -> None:
    page = visit(path, color_scheme=scheme)
    assert violations(page) == []
    if path.endswith("live"):
        page.locator("button.frame").first.click()
        page.get_by_role("dialog").wait_for()
        assert violations(page) == []


def violations(page: Any) -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['impact']}: {each['id']} {[node['html'] for node in each['nodes']][:2]}" for each in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_theme_and_fits_a_phone(visit: Callable[..., Any], scheme: str) -> None:
    page = visit(RUN, color_scheme=scheme, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_picture_that_was_deleted_is_said_to_be(site: Site, visit: Callable[..., Any]) -> None:
    stored = list(site.folder.glob("posters-7-*.png"))
    assert len(stored) == 1
    stored[0].unlink()
    site.stack.restart("api-server")  # whose thumbnails outlive the pictures
    site.stack.wait_ready()
    page = visit(f"{RUN}/tasks/posters?map_index=7")
    sync_api.expect(page.get_by_text("No longer there")).to_be_visible()


def test_thumbnails_that_were_not_made_before_appear(
    site: Site, visit: Callable[..., Any], pytestconfig: pytest.Config
) -> None:
    site.stack.restart("api-server")  # so that none is made yet
    site.stack.wait_ready()
    visit("/gptimg/static/icon.svg")  # and only those are waited for
    began = time.monotonic()
    page = visit(f"{RUN}/tasks/catalogue")
    page.wait_for_function(FIRST_PAINTED)
    first = time.monotonic() - began
    page.wait_for_function(ALL_PAINTED)
    took = f"first {first:.2f} s, all in view {time.monotonic() - began:.2f} s"
    figures = pytestconfig.stash.setdefault(FIGURES, [])
    figures.append(f"gallery, thumbnails of a batch of 100, none made before: {took}")


def test_ten_thousand_pictures_are_paged(
    site: Site, visit: Callable[..., Any], pytestconfig: pytest.Config
) -> None:
    result = site.result("catalogue")
    manifest = site.folder / result["manifest"].rpartition("/")[2]  # only by its own name is it the task's
    before = manifest.read_text()
    lines = [json.loads(line) for line in before.splitlines()]
    with manifest.open("w") as file:
        for index in range(10_000):
            file.write(json.dumps({**lines[index % len(lines)], "index": index}) + "\n")
    site.replace_result("catalogue", {**result, "completed": 10_000})
    try:
        began = time.monotonic()
        page = visit(f"{RUN}/tasks/catalogue?page=209")
        assert page.get_by_text("10,000 in all").is_visible()
        assert wait_painted(page) == 16
        figures = pytestconfig.stash.setdefault(FIGURES, [])
        took = f"{time.monotonic() - began:.2f} s"
        figures.append(f"gallery, last page of a batch of 10,000, to the last picture: {took}")
    finally:
        manifest.write_text(before)
        site.replace_result("catalogue", result)
