"""The gallery in a real browser, against a real Airflow with users of different rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gallery_site import CHROMIUM, FLAGS, Site

from airflow_provider_gptimg.emulator.remote import Remote


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, emulator_process: Remote) -> Iterator[Site]:
    """An Airflow with pictures, shared by the tests here."""
    emulator_process.reset()
    site = Site(tmp_path_factory.mktemp("gallery"), emulator_process)
    try:
        site.start()
        yield site
    finally:
        site.stack.stop_all()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(site: Site, browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page as a user; scripts that fail or are refused fail the test."""
    contexts, complaints = [], []

    def complain(text: str) -> None:
        if "aborted" not in text:  # Airflow's own page gives its requests up when one leaves it
            complaints.append(text)

    def visit(path: str, user: str = "admin", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        url = site.stack.base_url
        context.add_cookies([{"name": "_token", "value": site.tokens[user], "url": url}])
        page = context.new_page()
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("console", lambda line: complain(line.text) if "Content Security" in line.text else None)
        page.goto(url + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
