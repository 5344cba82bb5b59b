"""The demo's view of a run, through the API of an Airflow that does not always answer."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from dev import demo_run
from dev.airflow_api import AirflowApi
from dev.airflow_run import DagRun
from dev.demo_run import DemoRun
from dev.processes import WaitTimeoutError

RUN = "/api/v2/dags/basic/dagRuns/demo"
XCOM = f"{RUN}/taskInstances/cover/xcomEntries/return_value"


class Airflow:
    """Answers from a table; ``statuses`` of an address are used up before it."""

    def __init__(self, picture: Path) -> None:
        Image.new("RGB", (30, 20)).save(picture)
        image = {"index": 0, "uri": picture.as_uri()}
        task = {"task_id": "cover", "map_index": -1, "state": "success", "try_number": 1}
        self.answers: dict[str, Any] = {
            "/auth/token": {"access_token": "x"},
            RUN: {"state": "success"},
            f"{RUN}/taskInstances": {"task_instances": [task], "total_entries": 1},
            XCOM: {"value": {"generation_id": "g", "images": [image]}},
        }
        self.statuses: dict[str, list[int]] = {}

    def answer(self, path: str) -> tuple[int, Any]:
        queue = self.statuses.get(path)
        if queue:
            return queue.pop(0), {}
        return (200, self.answers[path]) if path in self.answers else (404, {})


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    monkeypatch.setattr(demo_run, "POLL_SECONDS", 0.01)
    return Airflow(tmp_path / "a.png")


@pytest.fixture
def follow(airflow: Airflow) -> Iterator[Callable[..., bool]]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = airflow.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.end_headers()
            io.TextIOWrapper(self.wfile, write_through=True).write(json.dumps(body))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = AirflowApi(f"http://127.0.0.1:{server.server_port}")
    yield lambda **options: DemoRun(DagRun(api, "basic", "demo"), print).follow(**options)
    api.close()
    server.shutdown()
    server.server_close()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("image ")]


def test_every_image_is_printed(follow: Callable[..., bool], capsys: pytest.CaptureFixture[str]) -> None:
    assert follow()
    (line,) = lines(capsys)
    assert " 30x20 " in line


@pytest.mark.parametrize("path", [RUN, f"{RUN}/taskInstances", XCOM])
@pytest.mark.parametrize("status", [500, 503])
def test_an_answer_that_fails_is_asked_for_again(
    airflow: Airflow,
    follow: Callable[..., bool],
    capsys: pytest.CaptureFixture[str],
    path: str,
    status: int,
) -> None:
    airflow.statuses[path] = [status] * 3
    assert follow()
    assert len(lines(capsys)) == 1


def test_a_task_without_a_result_makes_no_image(airflow: Airflow, follow: Callable[..., bool]) -> None:
    del airflow.answers[XCOM]
    assert not follow()


def test_a_run_that_does_not_end_is_given_up(airflow: Airflow, follow: Callable[..., bool]) -> None:
    airflow.answers[RUN] = {"state": "running"}
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=r"not ended in 0\.3 s"):
        follow(seconds=0.3)
    assert time.monotonic() - began < 20


def test_an_airflow_that_answers_no_more_is_given_up(airflow: Airflow, follow: Callable[..., bool]) -> None:
    airflow.statuses[RUN] = [503] * 1000
    with pytest.raises(httpx.HTTPStatusError):
        follow()
