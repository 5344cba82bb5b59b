"""Every recipe runs as it stands, and does what its page says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pendulum
import pytest
from PIL import Image

from tests.support.airflow_versions import new_dag_bag, serialize
from tests.support.documentation import DOCS, blocks

pytestmark = pytest.mark.usefixtures("database", "quick")

FILES = {
    str(block.file): block.text
    for block in blocks("python")
    if block.page == DOCS / "recipes.md" and block.file
}
Play = Callable[..., Any]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that runs the DAG of a recipe."""

    def run(name: str, **conf: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(FILES[f"dags/{name}.py"])
        bag = new_dag_bag(folder)
        assert bag.import_errors == {}
        dag = bag.dags[name]
        serialize(dag)
        return dag.test(run_conf=conf)

    return run


def value(run: Any, task_id: str, key: str = "return_value") -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_id, key=key)


def test_there_are_no_others() -> None:
    assert {Path(name).stem for name in FILES} == {"bill", "budget", "told", "diary", "accounts"}


def test_the_bill_of_a_run(play: Play, emulator: Any) -> None:
    run = play("bill")
    assert value(run, "bill") == pytest.approx(0.03)
    assert sum(row["billed"] for row in emulator.ledger()["submissions"]) == pytest.approx(0.03)


def test_the_limit_of_a_batch_holds(play: Play, emulator: Any, tmp_path: Path) -> None:
    run = play("budget", folder=tmp_path.as_uri())
    assert run.state == "failed"
    assert value(run, "pictures", key="error")["reason"] == "cost_limit"
    assert sum(row["billed"] for row in emulator.ledger()["submissions"]) <= 0.03


class Channel(BaseHTTPRequestHandler):
    """Stands for Slack: keeps what is sent to it."""

    said: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.said.append(json.loads(body)["text"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    Channel.said = []
    server = HTTPServer(("127.0.0.1", 0), Channel)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    connection = {
        "conn_type": "slackwebhook",
        "host": f"http://127.0.0.1:{server.server_port}",
        "password": "/services/T0/B0/x",
    }
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", json.dumps(connection))
    yield Channel.said
    server.shutdown()
    server.server_close()


def test_slack_is_told_where_the_picture_is(
    play: Play, emulator: Any, channel: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow.providers.slack", reason="The provider for Slack is not installed")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    assert play("told").state == "success"
    (said,) = channel
    assert said.startswith("A new cover: https://airflow.example/dags/told/runs/")


def test_yesterdays_image_is_the_reference(play: Play, emulator: Any, tmp_path: Path) -> None:
    yesterday = tmp_path / "images" / pendulum.yesterday("UTC").to_date_string()
    yesterday.mkdir(parents=True)
    Image.new("RGB", (64, 48), "green").save(yesterday / "garden.png")
    run = play("diary", folder=(tmp_path / "images").as_uri())
    assert run.state == "success"
    assert emulator.ledger()["requests"]["upload"] == 1
    (url,) = value(run, "garden", key="urls")
    assert url.endswith("/garden.png")


def test_each_team_pays_with_its_own_key(play: Play, emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for team in ("shop", "magazine"):
        connection = {**json.loads(emulator.airflow_connection), "password": f"sk-{team}"}
        monkeypatch.setenv(f"AIRFLOW_CONN_GPTIMG_{team.upper()}", json.dumps(connection))
    assert play("accounts").state == "success"
    keys = {row["key_tail"] for row in emulator.ledger()["submissions"]}
    assert keys == {"shop"[-4:], "magazine"[-4:]}
