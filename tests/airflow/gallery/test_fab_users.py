"""Users and roles of FAB, Airflow's other auth manager: who sees a review's pictures, and who decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

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

CHIEF = "chief"
USERS = {CHIEF: "Admin", "editor": "User", "guest": "Viewer", "blind": "NoXComs"}
SEEN_BY_NO_XCOMS = ("DAGs", "DAG Runs", "Task Instances", "HITL Detail", "Website")


class FabSite:
    """A running Airflow with FAB, and its users."""

    def __init__(self, stack: AirflowStack) -> None:
        self.stack = stack
        self.tokens: dict[str, str] = {}

    def log_in(self, name: str = CHIEF) -> bool:
        """Log somebody in; False while Airflow is not up."""
        try:
            self.tokens[name] = self.stack.api.token(name)
        except httpx.HTTPError:
            return False
        return True

    def make(self, kind: str, **fields: Any) -> None:
        """Make a user or a role, as the first of the users."""
        url = f"{self.stack.base_url}/auth/fab/v1/{kind}"
        headers = {"Authorization": f"Bearer {self.tokens[CHIEF]}"}
        httpx.post(url, json=fields, headers=headers, trust_env=False, timeout=30).raise_for_status()

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
        person = ["-u", CHIEF, "-p", CHIEF, "-f", CHIEF, "-l", CHIEF, "-e", f"{CHIEF}@example.org"]
        stack.run_command("users", "create", *person, "-r", USERS[CHIEF])
        site = FabSite(stack)
        wait_until(site.log_in, 120, stack.log_tails, interval=0.5)
        stack.api.use_token(site.tokens[CHIEF])
        stack.wait_ready()
        reads = [{"action": {"name": "can_read"}, "resource": {"name": name}} for name in SEEN_BY_NO_XCOMS]
        site.make("roles", name="NoXComs", actions=reads)
        for name, role in USERS.items():
            if name != CHIEF:
                called = {"username": name, "first_name": name, "last_name": name, "password": name}
                site.make("users", **called, email=f"{name}@example.org", roles=[{"name": role}])
                assert site.log_in(name)
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
