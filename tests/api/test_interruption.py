"""A signal ends a wait at once, whatever it blocks in, and lets a submission come to its answer."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.client import SyncClient
from airflow_provider_gptimg.api.flows import Flow, Send, Sleep
from airflow_provider_gptimg.api.interruption import Interrupted, Interruption
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.wire import Reply
from tests.support.raw_service import hangs, http, raw_service

SUBMISSION = wire.submission(GenerationRequest.checked("a fox"), "af-1")
SOON = 0.3
LONG = 30.0


@contextmanager
def signalled(interruption: Interruption, after: float = SOON) -> Iterator[None]:
    """Interrupt from a signal handler, as Airflow calls ``on_kill``."""
    before = signal.signal(signal.SIGALRM, lambda *_: interruption.set())
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ends_soon(url: str, flow: Flow[Any]) -> None:
    interruption = Interruption()
    settings = Settings.checked(host=url, api_key="sk-test", extra={"timeout": LONG})
    began = time.monotonic()
    with (
        SyncClient(settings, interruption=interruption) as client,
        signalled(interruption),
        pytest.raises(Interrupted),
    ):
        client.run(flow)
    assert SOON <= time.monotonic() - began < LONG / 6


def steps(*steps: Send | Sleep, replies: list[Reply | None] | None = None) -> Flow[None]:
    for step in steps:
        reply = yield step
        if replies is not None:
            replies.append(reply)


def test_a_sleep() -> None:
    ends_soon("http://127.0.0.1:9", steps(Sleep(LONG)))


def test_a_call_that_gets_no_answer() -> None:
    with raw_service(hangs()) as service:
        ends_soon(service.url, steps(Send(wire.status_query("gen_1"))))


def test_a_connection_that_does_not_come_about() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener:
        host, port = listener.getsockname()
        with socket.create_connection((host, port)):  # fills the backlog: the next one waits
            ends_soon(f"http://{host}:{port}", steps(Send(wire.status_query("gen_1"))))


def test_a_turn_at_the_rate_limit() -> None:
    behind: list[Any] = []

    def flow() -> Flow[None]:
        while True:
            yield Send(wire.status_query("gen_1"))
            behind.append(time.monotonic())

    with raw_service(lambda connection: connection.sendall(http(b"{}"))) as service:
        ends_soon(service.url, flow())
    assert behind


def test_a_submission_comes_to_its_answer() -> None:
    replies: list[Reply | None] = []

    def slow(connection: socket.socket) -> None:
        time.sleep(3 * SOON)
        connection.sendall(http(b'{"id": "gen_1", "status": "queued"}'))

    with raw_service(slow) as service:
        ends_soon(service.url, steps(Send(SUBMISSION), Sleep(LONG), replies=replies))
    assert len(replies) == len(service.received) == 1


def test_nothing_is_submitted_any_more() -> None:
    interruption = Interruption()
    interruption.set()
    settings = Settings.checked(host="http://127.0.0.1:9", api_key="sk-test", extra={})
    with SyncClient(settings, interruption=interruption) as client, pytest.raises(Interrupted):
        client.run(steps(Send(SUBMISSION)))


def test_what_is_held_off_comes_to_its_end_inside_of_what_is_reached() -> None:
    interruption, done = Interruption(), []

    def work() -> None:
        with interruption.reaches():
            with interruption.held_off():
                time.sleep(2 * SOON)
                done.append("held off")
            done.append("never")

    with signalled(interruption), pytest.raises(Interrupted):
        work()
    assert done == ["held off"]


def test_what_cannot_be_reached_works_on_until_it_would_wait() -> None:
    interruption, done = Interruption(), []

    def work() -> None:
        time.sleep(2 * SOON)
        done.append("worked on")
        with interruption.reaches():
            done.append("never")

    with signalled(interruption), pytest.raises(Interrupted):
        work()
    assert done == ["worked on"]
