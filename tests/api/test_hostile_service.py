"""Whatever a service answers, a call ends in a clear error of ours, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.exceptions import GptImgError, GptImgNotFoundError, translated
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.result import NOTHING_ASKED, result_of
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger
from tests.support.hostilities import COMPLETED, DRIPS, INJECTION, ODDITIES, RUNNING, TOLERABLE, answer
from tests.support.raw_service import RawService, raw_service, says

KEY = "sk-marker-5e0f1c"
QUICK = 0.1
"""Timeout in seconds where only that ends a call."""

LONGEST = 2 * QUICK + 20.0
"""Seconds that a call may take; what is beyond twice the timeout is for a busy machine."""

pytestmark = pytest.mark.usefixtures("_no_environment_proxy")


@pytest.fixture
def _no_environment_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes the default connection lead to a URL."""

    def connect(url: str, timeout: float = 2.0) -> None:
        connection = {"conn_type": "gptimg", "host": url, "password": KEY, "extra": {"timeout": timeout}}
        monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(connection))

    return connect


class Trigger(GptImgGenerationTrigger):
    """The trigger without its hold-back: no scheduler is here."""

    hold_back = 0.0


async def look(generation_id: str = "task_1") -> Any:
    return GptImgHook().get_generation(generation_id)


async def submit() -> Any:
    return GptImgHook().submit("a fox")


async def look_in_loop() -> Any:
    with translated():
        async with GptImgHook().async_client() as client:
            return await client.run(flows.query("task_1", clock=time.time, give_up_at=time.time()))


WAYS = {"look": look, "submit": submit, "async": look_in_loop}


def check_text(text: str) -> None:
    """Check what goes into logs, XCom and the database."""
    assert text.isprintable()
    assert 10 < len(text) < 1_000
    assert KEY not in text


def check(error: GptImgError) -> None:
    check_text(str(error))
    assert KEY not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*ODDITIES, *DRIPS])
async def test_it_is_one_clear_error(name: str, way: str, connect: Callable[..., None]) -> None:
    with raw_service({**ODDITIES, **DRIPS}[name]) as service:
        connect(service.url, timeout=QUICK if name in DRIPS else 2.0)
        started = time.monotonic()
        with pytest.raises(GptImgError) as caught:
            await WAYS[way]()
        assert time.monotonic() - started < LONGEST
        assert len(service.received) == 1
    check(caught.value)


@pytest.mark.parametrize("name", [*ODDITIES, *DRIPS])
async def test_it_is_an_event_of_a_trigger(name: str, connect: Callable[..., None]) -> None:
    with raw_service({**ODDITIES, **DRIPS}[name]) as service:
        connect(service.url, timeout=QUICK if name in DRIPS else 2.0)
        started = time.monotonic()
        (event,) = [
            event.payload async for event in Trigger(generation_id="task_1", deadline=time.time()).run()
        ]
        assert time.monotonic() - started < LONGEST
    assert event["status"] in ("error", "timeout")
    check_text(event["message"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TOLERABLE)
async def test_odd_times_and_texts_are_no_obstacle(name: str, way: str, connect: Callable[..., None]) -> None:
    with raw_service(TOLERABLE[name]) as service:
        connect(service.url)
        generation = await WAYS[way]()
    assert generation.id == "task_1"
    assert not generation.is_final
    assert not generation.is_expired(time.time())
    assert 0 <= generation.age(time.time()) < float("inf")
    for value in result_of(generation, NOTHING_ASKED).values():
        assert value is None or len(str(value)) < 300
        assert str(value).isprintable()


def test_floods_cost_little_memory_and_time(record_figures: Callable[[str], None]) -> None:
    program = Path(__file__).parents[1] / "support" / "hostile_memory.py"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    seconds, memory = (max((cost[i], name) for name, cost in measured.items()) for i in (0, 1))
    record_figures(
        f"{len(measured)} floods of a hostile service, sync and async: at most {memory[0]:.0f} MiB "
        f"({memory[1]}) and {seconds[0]:.1f} s ({seconds[1]}; timeout 0.3 s)"
    )
    assert memory[0] < 64
    assert seconds[0] < 2 * LONGEST


ECHOES = {
    "message": lambda key: says(answer({"error": {"message": f"bad key {key}"}}, status="401 No")),
    "start of a long text": lambda key: says(answer(b"x" * 190 + key.encode() * 99, status="500 Oops")),
    "cut off body": lambda key: says(answer(b"x" * 990 + key.encode(), length=5_000)),
    "status line": lambda key: says(f"HTTP/1.1 {key}\r\n\r\n".encode()),
    "header": lambda key: says(answer(b"", f"Location: https://x/{key}", status="302 Go")),
    "encoding": lambda key: says(answer(b"", f"Content-Encoding: {key}")),
    "id": lambda key: says(answer({"id": [key]})),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ECHOES)
async def test_a_key_that_the_service_repeats_is_not_shown(
    place: str, way: str, connect: Callable[..., None]
) -> None:
    with raw_service(ECHOES[place](KEY)) as service:
        connect(service.url)
        with pytest.raises(GptImgError) as caught:
            await WAYS[way]()
    check(caught.value)
    assert KEY[:10] not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, way: str, connect: Callable[..., None]) -> None:
    with raw_service(says(answer(RUNNING))) as elsewhere:
        location = f"Location: {elsewhere.url}/v1/images/generations"
        with raw_service(says(answer(b"", location, status=f"{status} Go"))) as service:
            connect(service.url)
            with pytest.raises(GptImgError, match="redirect"):
                await WAYS[way]()
    assert elsewhere.connections == 0


async def test_result_urls_are_handed_on_unfetched(connect: Callable[..., None]) -> None:
    with raw_service(says(answer(RUNNING))) as elsewhere:
        done = {**COMPLETED, "result": {"data": [{"url": f"{elsewhere.url}/1.png"}]}}
        with raw_service(says(answer(done))) as service:
            connect(service.url)
            assert GptImgHook().wait("task_1", poll_interval=0.1).urls == (f"{elsewhere.url}/1.png",)
            (event,) = [e.payload async for e in Trigger(generation_id="task_1", deadline=time.time()).run()]
    assert event["status"] == "completed"
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "generation_id", ["../../v1/balance", "a?b=c#d", "a%0d%0aX: y", "//evil.example/", "a b"]
)
async def test_an_id_of_the_service_stays_within_its_path(
    generation_id: str, connect: Callable[..., None]
) -> None:
    with raw_service(says(answer({"id": generation_id, "status": "queued"}))) as service:
        connect(service.url)
        await look(GptImgHook().submit("a fox").id)
        path = paths(service)[-1]
    assert path.startswith("/v1/images/generations/")
    assert path.count("/") == 4
    assert set("?# ").isdisjoint(path)


@pytest.mark.parametrize("asked", ["x" * 2**20, "..", "", " . "])
async def test_what_names_no_generation_is_not_asked_for(asked: str, connect: Callable[..., None]) -> None:
    with raw_service(says(answer(RUNNING))) as service:
        connect(service.url)
        with pytest.raises(GptImgError, match="must name a generation") as caught:
            await look(asked)
    assert service.connections == 0
    check(caught.value)


async def test_an_id_that_a_dag_asks_for_writes_no_lines_into_logs(connect: Callable[..., None]) -> None:
    with raw_service(says(answer({"error": {"message": "who?"}}, status="404 No"))) as service:
        connect(service.url)
        with pytest.raises(GptImgNotFoundError) as caught:
            await look(INJECTION)
    check(caught.value)


async def test_cookies_are_not_kept(connect: Callable[..., None]) -> None:
    cookies = [f"Set-Cookie: c{number}={'v' * 99}; Path=/" for number in range(20)]
    with raw_service(says(answer(RUNNING, *cookies), then_close=False)) as service:
        connect(service.url)
        GptImgHook().run(_twice())
        async with GptImgHook().async_client() as client:
            await client.run(_twice())
    assert len(service.received) == 4
    assert not any("cookie" in request.headers for request in service.received)


def _twice() -> flows.Flow[object]:
    for _ in range(2):
        yield from flows.query("task_1", clock=time.time, give_up_at=time.time())
    return None


@pytest.mark.parametrize("way", WAYS)
async def test_no_proxy_of_the_environment_sees_what_is_for_this_machine(
    way: str, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with raw_service(says(answer(RUNNING))) as proxy, raw_service(says(answer(RUNNING))) as service:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        connect(service.url)
        assert (await WAYS[way]()).id == "task_1"
    assert proxy.connections == 0


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "NaN", "-1e400", '"many"', "[]"])
def test_a_balance_that_is_no_number_is_told_in_the_connection_form(
    number: str, connect: Callable[..., None]
) -> None:
    body = f'{{"success": true, "remain_balance": {number}}}'.encode()
    with raw_service(says(answer(body))) as service:
        connect(service.url)
        worked, message = GptImgHook().test_connection()
    assert not worked
    assert "remain_balance" in message


def paths(service: RawService) -> list[str]:
    return [request.line.split(" ")[1] for request in service.received]
