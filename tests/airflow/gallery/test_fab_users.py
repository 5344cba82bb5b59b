"""Users and roles of FAB, Airflow's other auth manager: who sees a review's pictures, and who decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from airflow_provider_gptimg.compat.human_input import HAS_HUMAN_INPUT
from airflow_provider_gptimg.emulator.remote import Remote
from dev import postgres
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.review_pages import decide, pictures_in

pytest.importorskip("airflow.providers.fab", reason="The provider for FAB is not installed")
pytestmark = pytest.mark.skipif(not HAS_HUMAN_INPUT, reason="This Airflow cannot ask people")

USERS = {"chief": "Admin", "editor": "User", "guest": "Viewer", "blind": "NoXComs"}
SEEN_BY_NO_XCOMS = ("DAGs", "DAG Runs", "Task Instances", "HITL Detail", "Website")


class FabSite:
    """A running Airflow with FAB, and its users."""

    def __init__(self, stack: AirflowStack) -> None:
        self.stack = stack
        self.tokens: dict[str, str] = {}

    def log_in(self) -> bool:
        """Log everybody in; False while Airflow is not up."""
        try:
            for name in USERS:
                answer = httpx.post(
                    f"{self.stack.base_url}/auth/token",
                    json={"username": name, "password": name},
                    trust_env=False,
                    timeout=30,
                )
                self.tokens[name] = answer.raise_for_status().json()["access_token"]
        except httpx.HTTPError:
            return False
        self.stack.api._http.headers["Authorization"] = f"Bearer {self.tokens['chief']}"
        return True

    def status(self, address: str, user: str | None) -> int:
        """Return how a user's request for a picture is answered."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        url = f"{self.stack.base_url}/{address}"
        return httpx.get(url, headers=headers, trust_env=False, timeout=30).status_code


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory, emulator_process: Remote) -> Iterator[FabSite]:
    root = tmp_path_factory.mktemp("fab")
    dags = root / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "review_dags.py", dags)
    (root / "pictures").mkdir()
    with ExitStack() as resources:
        database_url = None
        if postgres.available():
            database_url = resources.enter_context(postgres.PostgresServer()).url
        stack = AirflowStack(
            root / "airflow",
            dags,
            database_url=database_url,
            connections={"gptimg_default": json.loads(emulator_process.airflow_connection)},
            extra_env={
                "AIRFLOW__CORE__AUTH_MANAGER": (
                    "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
                ),
                "GALLERY_FOLDER": (root / "pictures").as_uri(),
            },
        )
        resources.callback(stack.stop_all)
        stack.start_all()
        stack.run_command("roles", "create", "NoXComs")
        stack.run_command("roles", "add-perms", "NoXComs", "-a", "can_read", "-r", *SEEN_BY_NO_XCOMS)
        for name, role in USERS.items():
            person = ["-u", name, "-p", name, "-f", name, "-l", name, "-e", f"{name}@example.org"]
            stack.run_command("users", "create", *person, "-r", role)
        site = FabSite(stack)
        wait_until(site.log_in, 120, stack.log_tails, interval=0.5)
        stack.wait_ready()
        yield site


def test_roles_of_fab_say_who_sees_the_pictures_and_who_decides(fab: FabSite) -> None:
    run = fab.stack.api.start_dag("gallery_choose", run_id="first")
    task = run.task("choose")
    shown = pictures_in(task.wait_question(180)["body"])
    assert len(shown) == 4
    for _, small, large in shown:
        for address in (small, large):
            seen = {user: fab.status(address, user) for user in (None, *USERS)}
            assert seen == {None: 401, "chief": 200, "editor": 200, "guest": 200, "blind": 403}
    assert decide(task, fab.tokens["guest"], "1", "3") == 403
    assert decide(task, fab.tokens["blind"], "1", "3") == 403
    assert decide(task, fab.tokens["editor"], "1", "3") == 200
    assert run.wait(120) == "success", run.describe()
    assert task.xcom()["decided_by"] == "editor"
    assert len(run.task("publish").xcom()) == 2
