"""A running Airflow with pictures of every kind, its users, and what a test does in a browser."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
import time
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_run import DagRun
from dev.processes import wait_until
from dev.stack import PROVIDER, AirflowStack

MARKUP = "<script>document.title='owned'</script><img src=x onerror=alert(1)> & \"quoted\""
USERS = {
    "admin": "admin",
    "stranger": "viewer",  # sees no DAG of the gallery
    "half": "viewer",  # sees the tasks, and not their XComs
    "guest": "viewer",  # sees everything, and decides nothing
    "editor": "user",
    "blind": "user",  # decides, and does not see XComs
}
AUTH_MANAGER = """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


    class PickyAuthManager(SimpleAuthManager):
        def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
            if user.username == "stranger" and details is not None and details.id.startswith("gallery"):
                return False
            if user.username in ("half", "blind") and access_entity is DagAccessEntity.XCOM:
                return False
            return super().is_authorized_dag(
                method=method, user=user, access_entity=access_entity, details=details
            )
"""
RUN = "/gptimg/dags/gallery/runs/first"
SEEN = "images => images.length > 0 && images.every(image => image.complete && image.naturalWidth > 0)"


class Site:
    """A running Airflow, its users, and the run of the DAG with the pictures."""

    def __init__(self, root: Path, emulator: Remote, *, database_url: str | None = None) -> None:
        self.emulator = emulator
        self.folder = root / "pictures"
        self.tokens: dict[str, str] = {}
        modules, dags = root / "modules", root / "dags"
        modules.mkdir()
        dags.mkdir()
        (modules / "picky.py").write_text(textwrap.dedent(AUTH_MANAGER))
        for name in ("gallery_dags.py", "review_dags.py"):
            shutil.copy(Path(__file__).parents[1] / "airflow" / "gallery" / name, dags)
        passwords = root / "passwords.json"
        passwords.write_text(json.dumps({name: name for name in USERS}))
        self.stack = AirflowStack(
            root / "airflow",
            dags,
            database_url=database_url,
            connections={"gptimg_default": json.loads(emulator.airflow_connection)},
            preload=PROVIDER,
            extra_env={
                "AIRFLOW__CORE__AUTH_MANAGER": "picky.PickyAuthManager",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{n}:{r}" for n, r in USERS.items()),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "PYTHONPATH": os.pathsep.join(filter(None, [str(modules), os.environ.get("PYTHONPATH")])),
                "GALLERY_PROMPT": MARKUP,
                "GALLERY_FOLDER": self.folder.as_uri(),
            },
        )

    def start(self) -> None:
        """Start everything, and make the pictures."""
        self.stack.start_all()
        wait_until(self.log_in, 120, self.stack.log_tails, interval=0.5)
        self.stack.wait_ready()
        self.run("gallery").wait(180)

    def run(self, dag_id: str) -> DagRun:
        """Start a run of a DAG."""
        return self.stack.api.start_dag(dag_id, run_id="first")

    def log_in(self) -> bool:
        """Log everybody in; False while Airflow is not up."""
        try:
            self.tokens.update({name: self.stack.api.token(name) for name in USERS})
        except httpx.HTTPError:
            return False
        self.stack.api.use_token(self.tokens["admin"])
        return True

    def get(self, path: str, user: str | None = "admin") -> httpx.Response:
        """Ask for an address as a user, or as nobody."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        return httpx.get(self.stack.base_url + path, headers=headers, trust_env=False, timeout=30)

    def result(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return what a task of the run handed on."""
        value = DagRun(self.stack.api, "gallery", "first").task(task_id, map_index).xcom()
        return dict(value if isinstance(value, dict) else json.loads(value))

    def replace_result(self, task_id: str, value: dict[str, Any], map_index: int = -1) -> None:
        """Put another result in its place, as whoever may write XComs can."""
        run = DagRun(self.stack.api, "gallery", "first")
        entry = f"{run.path}/taskInstances/{task_id}/xcomEntries/return_value"
        self.stack.api.request("PATCH", entry, json={"value": value, "map_index": map_index})


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


def follow(page: Any, name: str) -> None:
    """Follow a link of a task's operator, in the same tab wherever it would open."""
    link = page.get_by_role("link", name=name, exact=True).and_(page.locator("a[rel]"))
    link.evaluate("a => a.target = '_self'")
    link.click()
