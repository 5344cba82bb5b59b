"""The gallery in a real browser, against a real Airflow with users of different rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from dev import postgres
from tests.support.gallery_site import Site


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, emulator_process: Remote) -> Iterator[Site]:
    """An Airflow with pictures, shared by the tests here; on PostgreSQL where that is installed."""
    emulator_process.reset()
    with ExitStack() as resources:
        database_url = None
        if postgres.available():
            database_url = resources.enter_context(postgres.PostgresServer()).url
        site = Site(tmp_path_factory.mktemp("gallery"), emulator_process, database_url=database_url)
        resources.callback(site.stack.stop_all)
        site.start()
        yield site


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
