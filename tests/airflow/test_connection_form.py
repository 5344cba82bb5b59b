"""The connection form in a real browser: what it shows, what it saves, and what its Test button says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.provider_info import CONN_FIELDS
from dev.stack import AirflowStack

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CONNECTION = "made_in_the_form"
PORT = "443"
"""Airflow 3.3.2 tests no connection of any type that has no port; the base URL's own one counts."""

FILLED = {
    "default_model": "gpt-image-2-vip",
    "check_sizes": "false",
    "rate_limit_group": "vip",
    "submit_rps": 2.5,
    "query_rps": 20,
    "timeout": 1200,
    "verify": "false",
    "allow_insecure_http": True,
}


@pytest.fixture
def stack(airflow_stack: AirflowStack, emulator: Remote) -> Iterator[AirflowStack]:
    """The Airflow of the tests, without the connection that is to be made."""
    yield airflow_stack
    with contextlib.suppress(httpx.HTTPStatusError):
        airflow_stack.api.request("DELETE", f"/connections/{CONNECTION}")


@pytest.fixture(scope="module")
def context(airflow_stack: AirflowStack, browser: Any) -> Iterator[Any]:
    """A browser that is logged in; it keeps what it has loaded for the next test."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.add_cookies(
        [{"name": "_token", "value": airflow_stack.api.token(), "url": airflow_stack.base_url}]
    )
    yield context
    context.close()


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A page of a browser; scripts that fail there fail the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


def opened(page: Any, stack: AirflowStack) -> Any:
    """Open the form for a new connection of our type."""
    page.goto(f"{stack.base_url}/connections")
    page.get_by_role("button", name="Add Connection").first.click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill(CONNECTION)
    form.get_by_role("combobox").first.click()
    page.keyboard.type("GPT Image")
    page.keyboard.press("Enter")
    form.get_by_text("API key", exact=True).wait_for()
    return form


def saved(page: Any, form: Any, stack: AirflowStack) -> dict[str, Any]:
    """Save the form and return the connection as Airflow has it."""
    form.get_by_role("button", name="Save").click()
    page.get_by_role("row").filter(has_text=CONNECTION).wait_for()
    found: dict[str, Any] = stack.api.request("GET", f"/connections/{CONNECTION}")
    return found


def answer_of_the_button(page: Any) -> str:
    """Push the Test button and return what the page says."""
    row = page.get_by_role("row").filter(has_text=CONNECTION)
    row.get_by_role("button", name="Test Connection").click()
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection")
    toast.first.wait_for()
    return str(toast.first.inner_text())


def test_the_form_shows_every_field_with_label_and_help(page: Any, stack: AirflowStack) -> None:
    form = opened(page, stack)
    for label in ("Base URL", "API key"):
        assert form.get_by_text(label, exact=True).is_visible()
    assert form.get_by_placeholder("https://toapis.com").is_visible()
    assert form.get_by_placeholder("sk-…").get_attribute("type") == "password"
    for hidden in ("login", "schema"):
        assert form.locator(f"input[name={hidden}]").count() == 0

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name, field in CONN_FIELDS.items():
        label = form.get_by_text(field["label"], exact=True)
        sync_api.expect(label).to_be_visible()
        sync_api.expect(form.get_by_text(field["description"], exact=True)).to_be_visible()
        assert "*" not in label.inner_text(), f"{name} looks required"
        assert form.locator(f"[name=element_{name}], #element_{name}").count() >= 1


def test_a_key_is_enough(page: Any, stack: AirflowStack, emulator: Remote) -> None:
    form = opened(page, stack)
    form.locator("input[name=host]").fill(emulator.base_url)
    form.locator("input[name=password]").fill("sk-of-the-form")
    found = saved(page, form, stack)
    assert (found["conn_type"], found["host"], found["port"]) == ("gptimg", emulator.base_url, None)
    assert set(json.loads(found["extra"] or "{}").values()) <= {None}

    stack.run_command("connections", "test", CONNECTION)
    assert stack.api.start_dag("by_operator").wait(120) == "success"
    (submission,) = emulator.ledger()["submissions"]
    assert (submission["key_tail"], submission["model"]) == ("form", "gpt-image-2")


def test_every_field_is_saved_as_what_it_is(page: Any, stack: AirflowStack, emulator: Remote) -> None:
    form = opened(page, stack)
    form.locator("input[name=host]").fill(emulator.base_url)
    form.locator("input[name=password]").fill("sk-of-the-form")
    form.locator("input[name=port]").fill(PORT)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name in ("submit_rps", "query_rps", "timeout", "default_model", "verify"):
        field = form.locator(f"input[name=element_{name}]")
        field.click()
        page.keyboard.type(str(FILLED[name]))
        page.keyboard.press("Tab")
    for name in ("rate_limit_group", "check_sizes"):
        form.locator(f"#element_{name}").click()
        page.keyboard.type(str(FILLED[name]))
        page.keyboard.press("Enter")
    form.locator("[data-scope=switch][data-part=control]").last.click()
    extra = json.loads(saved(page, form, stack)["extra"])
    assert {name: value for name, value in extra.items() if value is not None} == FILLED

    said = answer_of_the_button(page)
    assert "Test Connection Successful" in said
    assert f"Connected to {emulator.base_url}. " in said
    assert "10 USD" in said
    assert emulator.ledger()["submissions"] == []

    run = stack.api.start_dag("by_hook")
    assert run.wait(120) == "success"
    model, balance, timeout = run.task("image").xcom()
    assert (model, timeout) == ("gpt-image-2-vip", 1200)
    assert balance < 10


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"password": "sk-invalid-1"}, 'Copy the whole key again into the field "API key".'),
        ({"password": "sk-broke-1"}, "No balance left at"),
        ({"host": "http://127.0.0.1:1"}, 'Check the address and port in the field "Base URL".'),
        (
            {"extra": '{"timeout": "soon"}'},
            "Field \"Request timeout (seconds)\": timeout='soon' is not allowed",
        ),
    ],
    ids=["key", "balance", "host", "field"],
)
def test_the_button_says_what_is_wrong(
    page: Any, stack: AirflowStack, emulator: Remote, parts: dict[str, Any], reason: str
) -> None:
    body = {"connection_id": CONNECTION, "conn_type": "gptimg", "host": emulator.base_url, "port": int(PORT)}
    stack.api.request("POST", "/connections", json={**body, "password": "sk-of-the-form", **parts})
    page.goto(f"{stack.base_url}/connections")
    said = answer_of_the_button(page)
    assert "Test Connection Failed" in said
    assert reason in said
    assert "sk-" not in said
