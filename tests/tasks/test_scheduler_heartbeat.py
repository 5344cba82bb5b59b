"""No event before the scheduler has gone round: what the trigger sees of it, and what if it sees nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_gptimg.compat import scheduler_heartbeat as pulse
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

HEALTH = "/api/v2/monitor/health"


class Health:
    """An API server's health page; its body can be changed meanwhile."""

    def __init__(self) -> None:
        self.status, self.asked = 200, list[str]()
        self.body: Any = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "12:00:00"}}

    def beat(self, at: str) -> None:
        self.body = {"scheduler": {"latest_scheduler_heartbeat": at}}


@contextmanager
def served(health: Health) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health.asked.append(self.path)
            self.send_response(health.status if self.path == HEALTH else 404)
            self.end_headers()
            self.wfile.write(json.dumps(health.body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Iterator[Health]:
    page = Health()
    with served(page) as url:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{url}/execution/")
        monkeypatch.setattr(pulse, "LOOK_EVERY", 0.05)
        yield page


async def seconds_of(wait: Any) -> float:
    began = time.monotonic()
    await wait
    return time.monotonic() - began


async def test_the_next_beat_is_waited_for(health: Health) -> None:
    asyncio.get_running_loop().call_later(0.5, health.beat, "12:00:05")
    assert 0.4 < await seconds_of(pulse.next_beat()) < 2


async def test_a_hundred_waits_share_one_look(health: Health) -> None:
    asyncio.get_running_loop().call_later(0.5, health.beat, "12:00:05")
    await asyncio.gather(*(pulse.next_beat() for _ in range(100)))
    assert set(health.asked) == {HEALTH}
    assert len(health.asked) < 20


async def test_a_wait_that_is_cancelled_takes_nothing_from_the_others(health: Health) -> None:
    first = asyncio.create_task(pulse.next_beat())
    second = asyncio.create_task(pulse.next_beat())
    await asyncio.sleep(0.01)
    first.cancel()
    asyncio.get_running_loop().call_later(0.3, health.beat, "12:00:05")
    await asyncio.wait_for(second, 5)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {}),
        (500, {}),
        (200, "login"),
        (200, {}),
        (200, {"scheduler": {"latest_scheduler_heartbeat": None}}),
    ],
)
async def test_without_a_pulse_nobody_waits_for_one(health: Health, status: int, body: Any) -> None:
    health.status, health.body = status, body
    assert await seconds_of(pulse.next_beat()) < 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/execution/", "nonsense", "ftp://x/execution/"])
async def test_nor_without_an_api_server(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1/prefix/")
    assert await seconds_of(pulse.next_beat()) < 2


@pytest.mark.parametrize(
    ("execution_api", "base_url", "asked"),
    [
        ("http://api:8080/execution/", "https://airflow.example", "http://api:8080"),
        ("http://api:8080/prefix/execution", None, "http://api:8080/prefix"),
        (None, "https://airflow.example/prefix/", "https://airflow.example/prefix"),
        (None, None, "http://localhost:8080"),
    ],
)
def test_where_the_pulse_is_read(
    monkeypatch: pytest.MonkeyPatch, execution_api: str | None, base_url: str | None, asked: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", execution_api or "")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url or "")
    assert pulse._address() == asked + HEALTH


class Brisk(GptImgGenerationTrigger):
    """Holds back for 1.5 seconds, and up to 4.5 if the scheduler stands still."""

    hold_back = 1.5


def brisk() -> Brisk:
    trigger = Brisk(generation_id="task_1", deadline=time.time() + 60, conn_id="none")
    trigger.trigger_id = 1  # as a triggerer does
    return trigger


@pytest.mark.parametrize(
    ("beats_after", "least", "most"),
    [
        (0.1, 4.4, 15.0),  # before its worker is surely seen to have ended: that beat says nothing
        (2.2, 2.1, 4.3),  # before it would go on without one
        (60.0, 4.4, 15.0),
    ],
)
async def test_the_trigger_waits_for_a_beat_but_not_for_ever(
    health: Health, beats_after: float, least: float, most: float
) -> None:
    beat = asyncio.get_running_loop().call_later(beats_after, health.beat, "12:00:05")
    trigger = brisk()
    began = time.monotonic()
    (event,) = [event.payload async for event in trigger.run()]
    beat.cancel()
    assert event["status"] == "error"
    assert least <= time.monotonic() - began <= most


async def test_an_api_server_that_takes_calls_and_never_answers_delays_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/execution/"
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
        trigger = brisk()
        assert 1.4 <= await seconds_of(anext(trigger.run())) <= 4.3  # not as for a scheduler that stands
