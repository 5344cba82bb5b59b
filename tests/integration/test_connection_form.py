"""The connection form in a real browser: what it shows, what it saves, and what its Test button says."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.provider_info import CONN_FIELDS
from dev.stack import AirflowStack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONNECTION = "made_in_the_form"
DAG = f"""
    from airflow.sdk import DAG

    from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

    with DAG("by_form"):
        GptImgGenerateOperator(task_id="image", prompt="A postcard", conn_id="{CONNECTION}")
"""
ASK = f"""
import json
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
hook = GptImgHook("{CONNECTION}")
made = hook.wait(hook.submit("A stamp").id, poll_interval=0.2)
print(json.dumps({{"balance": hook.balance().remaining, "model": made.model, "timeout": hook.settings.timeout}}))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, emulator_process: Remote) -> Iterator[AirflowStack]:
    """An Airflow without any connection, whose Test button is switched on."""
    root = tmp_path_factory.mktemp("form")
    (root / "dags").mkdir()
    (root / "dags" / "by_form.py").write_text(textwrap.dedent(DAG))
    settings = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with AirflowStack(root / "airflow", root / "dags", extra_env=settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(stack: AirflowStack, browser: Any) -> Iterator[Any]:
    """The page of the connections; scripts that fail there fail the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(stack.base_url)  # sets the cookie that says who is looking
    page.wait_for_load_state("networkidle")
    page.goto(f"{stack.base_url}/connections")
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def connection(stack: AirflowStack, emulator: Remote) -> Iterator[Callable[..., None]]:
    """Return what makes the connection without the form."""

    def make(**parts: Any) -> None:
        body = {"connection_id": CONNECTION, "conn_type": "gptimg", "host": emulator.base_url, **parts}
        stack.api.request("POST", "/connections", json=body)

    yield make
    with contextlib.suppress(httpx.HTTPStatusError):
        stack.api.request("DELETE", f"/connections/{CONNECTION}")
