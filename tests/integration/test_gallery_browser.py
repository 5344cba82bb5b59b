"""The gallery in a real browser, against a real Airflow with users of different rights."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_run import DagRun
from dev.processes import wait_until
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
MARKUP = "<script>document.title='owned'</script><img src=x onerror=alert(1)> & \"quoted\""
USERS = {"admin": "admin", "stranger": "viewer", "half": "viewer"}
AUTH_MANAGER = """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


    class PickyAuthManager(SimpleAuthManager):
        def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
            if user.username == "stranger" and details is not None and details.id == "gallery":
                return False
            if user.username == "half" and access_entity is DagAccessEntity.XCOM:
                return False
            return super().is_authorized_dag(
                method=method, user=user, access_entity=access_entity, details=details
            )
"""
RUN = "/gptimg/dags/gallery/runs/first"
SEEN = "images => images.length > 0 && images.every(image => image.complete && image.naturalWidth > 0)"


class Site:
    """A running Airflow, its users, and the run of the DAG with the pictures."""

    def __init__(self, stack: AirflowStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.tokens: dict[str, str] = {}

    def log_in(self) -> bool:
        """Log everybody in; False while Airflow is not up."""
        try:
            for name in USERS:
                credentials = {"username": name, "password": name}
                answer = httpx.post(f"{self.stack.base_url}/auth/token", json=credentials, trust_env=False)
                self.tokens[name] = answer.raise_for_status().json()["access_token"]
        except httpx.HTTPError:
            return False
        self.stack.api._http.headers["Authorization"] = f"Bearer {self.tokens['admin']}"
        return True

    def get(self, path: str, user: str | None = "admin") -> httpx.Response:
        """Ask for an address as a user, or as nobody."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        return httpx.get(self.stack.base_url + path, headers=headers, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emulator_process: Remote) -> Iterator[Site]:
    emulator_process.reset()
    root = tmp_path_factory.mktemp("gallery")
    passwords = root / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    modules = root / "modules"
    modules.mkdir()
    (modules / "picky.py").write_text(textwrap.dedent(AUTH_MANAGER))
    (root / "dags").mkdir()
    shutil.copy(Path(__file__).parent / "dags" / "gallery.py", root / "dags")
    stack = AirflowStack(
        root / "airflow",
        root / "dags",
        connections={"gptimg_default": json.loads(emulator_process.airflow_connection)},
        extra_env={
            "AIRFLOW__CORE__AUTH_MANAGER": "picky.PickyAuthManager",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{n}:{r}" for n, r in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(modules), os.environ.get("PYTHONPATH")])),
            "GALLERY_PROMPT": MARKUP,
            "GALLERY_FOLDER": (root / "pictures").as_uri(),
        },
    )
    site = Site(stack, root / "pictures")
    try:
        stack.start_all()
        wait_until(site.log_in, 120, stack.log_tails, interval=0.5)
        stack.wait_ready()
        stack.api.start_dag("gallery", run_id="first").wait(180)
        yield site
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(site: Site, browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page as a user; scripts that fail or are refused fail the test."""
    contexts, complaints = [], []

    def visit(path: str, user: str = "admin", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        url = site.stack.base_url
        context.add_cookies([{"name": "_token", "value": site.tokens[user], "url": url}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None
        )
        page.goto(url + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def wait_painted(page: Any) -> int:
    """Wait until every picture of a page is painted, and return how many there are."""
    images = page.locator(".card img")
    images.first.wait_for()
    for position in range(images.count()):
        images.nth(position).scroll_into_view_if_needed()

    deadline = time.monotonic() + 20
    while not images.evaluate_all(SEEN):
        assert time.monotonic() < deadline, "pictures are not painted"
        time.sleep(0.1)
    return int(images.count())


PROTECTED = [
    RUN,
    f"{RUN}/tasks/cover",
    f"{RUN}/tasks/cover/-1/pictures/0/0",
    f"{RUN}/tasks/cover/-1/pictures/0/0?small=1",
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

    run = DagRun(site.stack.api, "gallery", "first")
    task = run.task("posters", 0)
    stored = dict(task.xcom() if isinstance(task.xcom(), dict) else json.loads(task.xcom()))
    secret = site.folder / "secret.png"
    secret.write_bytes(b"\x89PNG\r\n\x1a\n not what the task stored")
    stored["images"][0]["uri"] = secret.as_uri()
    entry = f"{run.path}/taskInstances/posters/xcomEntries/return_value"
    site.stack.api.request("PATCH", entry, json={"value": stored, "map_index": 0})
    answer = site.get(f"{RUN}/tasks/posters/0/pictures/0/0")
    assert answer.status_code == 404
    assert b"not what" not in answer.content


def test_the_policy_names_the_hosts_of_the_page_and_nothing_else(
    site: Site, emulator_process: Remote
) -> None:
    live = site.get(f"{RUN}/tasks/live").headers["content-security-policy"]
    service = json.loads(emulator_process.airflow_connection)["host"].rstrip("/")
    assert live.endswith(f"img-src 'self' {service}")
    stored = site.get(f"{RUN}/tasks/posters").headers["content-security-policy"]
    assert stored.endswith("img-src 'self'")
    assert "unsafe" not in live + stored


def test_the_tab_of_a_task_shows_its_pictures_and_one_in_full(visit: Callable[..., Any]) -> None:
    page = visit("/dags/gallery/runs/first/tasks/cover")
    page.get_by_role("tab", name="Images").or_(
        page.get_by_role("link", name="Images", exact=True)
    ).first.click()
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
        "cover", "live", "posters", "refused", "catalogue",
    }  # fmt: skip
    assert page.locator(".card.failed").count() == 1
    page.get_by_role("link", name="Show all 100").click()
    page.wait_for_url("**/tasks/catalogue")


def test_the_latest_are_filtered(visit: Callable[..., Any]) -> None:
    page = visit("/plugin/gptimg-latest").frame_locator("iframe")
    page.get_by_role("searchbox", name="Prompt").fill("night MARKET, lanterns")
    page.get_by_role("button", name="Filter").click()
    sync_api.expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("From").fill("2099-01-01")
    page.get_by_role("button", name="Filter").click()
    sync_api.expect(page.get_by_text("Nothing matches.")).to_be_visible()


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


def test_pages_are_light(site: Site) -> None:
    parts = [
        f"{RUN}/tasks/catalogue",
        *(f"/gptimg/static/{n}" for n in ("gallery.css", "gallery.js", "theme.js")),
    ]
    assert sum(len(site.get(part).content) for part in parts) < 200_000
