"""Screenshots of the gallery and of a review in a real Airflow, for the README and the documentation.

Run it with ``make screenshots``; it needs Chromium and Playwright for Python.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from dev.emulator import EmulatorProcess
from dev.stack import AirflowStack

CHECKOUT = Path(__file__).resolve().parent.parent
TARGET = CHECKOUT / "docs" / "images"
DAGS = CHECKOUT / "tests" / "airflow" / "gallery" / "gallery_dags.py"
COVERS = CHECKOUT / "example_dags" / "example_gptimg_review.py"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]

RUN = "/dags/gallery/runs/first"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SHOTS: tuple[tuple[str, str, str, dict[str, int]], ...] = (
    ("task-light", f"{RUN}/tasks/catalogue/plugin/gptimg-images", "light", WIDE),
    ("task-dark", f"{RUN}/tasks/catalogue/plugin/gptimg-images", "dark", WIDE),
    ("run-light", f"{RUN}/plugin/gptimg-run-images", "light", WIDE),
    ("run-dark", f"{RUN}/plugin/gptimg-run-images", "dark", WIDE),
    ("latest-light", "/plugin/gptimg-latest", "light", WIDE),
    ("latest-dark", "/plugin/gptimg-latest", "dark", WIDE),
    ("phone", "/gptimg/", "light", PHONE),
)
REVIEWS = (("review-light", "light", WIDE), ("review-dark", "dark", WIDE), ("review-phone", "light", PHONE))
PAINTED = "() => [...document.images].filter(i => i.getBoundingClientRect().top < innerHeight && i.getAttribute('src')).every(i => i.complete && i.naturalWidth)"  # noqa: E501


def gallery(page: Any) -> Any:
    """Return the gallery's frame, once its visible pictures are painted."""
    page.locator("iframe, .card").first.wait_for()
    page.wait_for_load_state("networkidle")
    frame = page.frames[-1]  # Airflow's page has one frame, and that is the gallery
    frame.locator(".card img").first.wait_for()
    frame.wait_for_function(PAINTED)
    return frame


@contextlib.contextmanager
def visits(url: str, executable: str) -> Iterator[Callable[..., Any]]:
    """Open Chromium, and give what opens Airflow in a new page of a color scheme and size."""
    playwright_api: Any = import_module("playwright.sync_api")  # the tests do not need it
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)

        def visit(path: str, scheme: str, size: dict[str, int]) -> Any:
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(url)  # Airflow's own page sets the login cookie
            page.wait_for_load_state("networkidle")
            page.goto(url + path)
            return page

        yield visit
        browser.close()


def shoot(url: str, executable: str) -> None:
    """Write every screenshot."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with visits(url, executable) as visit:
        for name, path, scheme, size in SHOTS:
            page = visit(path, scheme, size)
            frame = gallery(page)
            page.screenshot(path=TARGET / f"{name}.png")
            if name == "task-dark":
                frame.locator("button.frame").nth(1).click()
                frame.wait_for_function("() => document.querySelector('dialog img').naturalWidth > 0")
                page.screenshot(path=TARGET / "dialog-dark.png")
            page.close()


def shoot_review(url: str, executable: str) -> None:
    """Write the screenshots of the drawer in which a person chooses a cover."""
    with visits(url, executable) as visit:
        for name, scheme, size in REVIEWS:
            page = visit("/required_actions", scheme, size)
            page.get_by_role("button", name="Open Review Drawer").first.click()
            page.get_by_role("dialog").locator("img").first.wait_for()
            page.wait_for_function(PAINTED.replace("getAttribute('src')", "closest('[role=dialog]')"))
            page.wait_for_timeout(500)  # the drawer slides in
            page.screenshot(path=TARGET / f"{name}.png")
            page.close()


def main() -> int:
    """Start an emulator and an Airflow, run the DAG with the pictures, and take the screenshots."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        print("Screenshots need Chromium: apt-get install chromium", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as resources:
        home = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="gptimg-screenshots-")))
        dags = home / "dags"
        dags.mkdir()
        shutil.copy(DAGS, dags)
        shutil.copy(COVERS, dags)
        emulator = resources.enter_context(
            EmulatorProcess(home / "emulator.log", "--latency-median", "2", "--rate-limit", "off")
        )
        connection = {"conn_type": "gptimg", "host": emulator.url, "password": "sk-demo"}
        stack = AirflowStack(
            home / "airflow",
            dags,
            connections={"gptimg_default": connection},
            extra_env={"GALLERY_FOLDER": (home / "pictures").as_uri()},
        )
        resources.enter_context(stack)
        stack.api.start_dag("gallery", run_id="first").wait(180)
        shoot(stack.base_url, executable)
        conf = {"folder": (home / "covers").as_uri()}
        stack.api.start_dag("example_gptimg_review", conf).task("choose").wait_question()
        shoot_review(stack.base_url, executable)
    print(f"Written to {TARGET.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
