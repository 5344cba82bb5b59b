"""The trigger on an event loop, against a real emulator in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_gptimg.compat.xcom import writes_from_triggerer
from airflow_provider_gptimg.hooks import shared
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger
from dev.emulator import EmulatorProcess
from tests.support.service import CREATED, GENERATION_ID, Answer, Script, scripted

RUNNING = Answer({**CREATED, "status": "in_progress"})
COMPLETED = Answer(
    {**CREATED, "status": "completed", "result": {"data": [{"url": "https://x.example/1.png"}]}}
)


class Prompt(GptImgGenerationTrigger):
    """The trigger almost without its hold-back, for tests that have no scheduler."""

    hold_back = 0.02


async def fired(trigger: GptImgGenerationTrigger) -> Any:
    trigger.trigger_id = 1  # as a triggerer does
    return [event.payload async for event in trigger.run()]


def trigger(**arguments: Any) -> Prompt:
    return Prompt(
        **{"generation_id": GENERATION_ID, "poll_interval": 0.1, "deadline": time.time() + 10, **arguments}
    )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()
    with scripted(script) as url:
        connect(monkeypatch, url)
        yield script


def connect(monkeypatch: pytest.MonkeyPatch, url: str, key: str = "sk-test", **extra: Any) -> None:
    connection = {"conn_type": "gptimg", "host": url, "password": key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(connection))


async def test_a_connection_that_the_triggerer_does_not_see_is_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (event,) = await fired(trigger(conn_id="nobody_made_it"))
    assert (event["status"], event["generation_id"]) == ("error", GENERATION_ID)
    said = capsys.readouterr().out
    assert f"Generation {GENERATION_ID} cannot be watched from here: The conn_id" in said
    assert "Traceback" not in said


def test_two_hundred_triggers_never_block_the_loop(tmp_path: Path, record_figures: Any) -> None:
    """Each of them waits through several answers that take 200 ms: who waits for one in the loop is seen."""
    # A process of its own, as a triggerer is one: neither pytest's heap nor coverage takes part.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    options = ["--latency-median", "7", "--latency-sigma", "0.2", "--rate-limit", "off", "--balance", "100"]
    stalls = []
    for attempt in range(3):  # a machine has its moods; a loop that is blocked always is
        with EmulatorProcess(tmp_path / f"log{attempt}", *options) as emulator:
            program = Path(__file__).parents[1] / "support" / "loop_stall.py"
            command = [sys.executable, str(program), emulator.url, "200"]
            printed = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
        measured = json.loads(printed.splitlines()[-1])
        assert measured["statuses"] == ["completed"]
        stalls.append(measured["stall"])
        if stalls[-1] < 0.1:
            break
    record_figures(f"200 triggers, answers of 200 ms: longest stall of the loop {min(stalls) * 1000:.0f} ms")
    assert min(stalls) < 0.1  # 0.02 to 0.06 s, beside other work


async def test_no_event_in_the_first_seconds(service: Script) -> None:
    """Whatever happens, the scheduler has had its time to handle the deferral."""
    service.status = [COMPLETED]
    started = time.monotonic()
    events = await asyncio.gather(
        fired(GptImgGenerationTrigger(generation_id=GENERATION_ID, deadline=time.time() + 60)),
        fired(GptImgGenerationTrigger(generation_id=GENERATION_ID, deadline=time.time() - 60)),
        fired(
            GptImgGenerationTrigger(generation_id=GENERATION_ID, deadline=time.time() + 60, conn_id="none")
        ),
    )
    assert time.monotonic() - started >= GptImgGenerationTrigger.hold_back >= 5
    assert [event["status"] for (event,) in events] == ["completed", "completed", "error"]


async def test_dag_test_never_waits_for_a_scheduler(service: Script) -> None:
    """It runs the trigger itself: nobody gives it an id."""
    service.status = [COMPLETED]
    trigger = GptImgGenerationTrigger(
        generation_id=GENERATION_ID, deadline=time.time() + 60, poll_interval=0.1
    )
    started = time.monotonic()
    (event,) = [event.payload async for event in trigger.run()]
    assert event["status"] == "completed"
    assert time.monotonic() - started < 0.5 * GptImgGenerationTrigger.hold_back


def test_serialize_round_trip() -> None:
    first = GptImgGenerationTrigger(
        generation_id="a/b",
        conn_id="c",
        poll_interval=7.5,
        deadline=1790000000.5,
        max_wait=60.0,
        kind="m/2K/1",
    )
    path, arguments = first.serialize()
    assert path == "airflow_provider_gptimg.triggers.generation.GptImgGenerationTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert GptImgGenerationTrigger(**arguments).serialize() == (path, arguments)


def test_arguments_of_the_first_release_are_accepted() -> None:
    """Rows that were written by an older version are rebuilt by today's class."""
    GptImgGenerationTrigger(generation_id="x", conn_id="c", poll_interval=5.0, deadline=1790000000.0)


async def test_deadline_is_absolute_and_there_is_a_last_look(service: Script) -> None:
    """A triggerer that was down past the deadline still looks once."""
    service.status = [COMPLETED]
    (event,) = await fired(trigger(deadline=time.time() - 3600))
    assert event == {"status": "completed", "generation_id": GENERATION_ID}

    service.status = [RUNNING]
    (event,) = await fired(trigger(deadline=time.time() - 3600))
    assert event["status"] == event["reason"] == "timeout"
    assert "accepted and billed" in event["message"]


@pytest.mark.parametrize(
    ("answers", "polls", "status", "reason"),
    [
        ([Answer({**CREATED, "status": "on_fire"}), COMPLETED], 2, "completed", None),
        ([*[Answer("oops", 500)] * 5, COMPLETED], 6, "completed", None),
        ([Answer("oops", 500)], 6, "error", "unavailable"),
        ([Answer({"error": {"code": "unauthorized"}}, 401)], 1, "error", "authentication"),
        ([Answer({"error": {}}, 403)], 1, "error", "permission"),
        ([Answer({"error": {"code": "task_not_found"}}, 404)], 1, "error", "not_found"),
        ([Answer({**CREATED, "status": "failed"})], 1, "failed", "failed"),
    ],
)
async def test_events(
    service: Script, answers: list[Answer], polls: int, status: str, reason: str | None
) -> None:
    service.status = answers
    (event,) = await fired(trigger())
    assert (event["status"], event.get("reason"), event["generation_id"]) == (status, reason, GENERATION_ID)
    assert len(service.received) == polls


async def test_a_429_holds_back_every_wait_of_the_process(service: Script) -> None:
    service.status = [Answer({"error": {}}, 429, {"Retry-After": "1"}), COMPLETED]
    started = time.monotonic()
    await asyncio.gather(*(fired(trigger()) for _ in range(5)))
    assert time.monotonic() - started >= 1.0
    # Those already on their way got through; nobody asked twice within the pause.
    assert len(service.received) <= 6


async def test_all_triggers_of_a_loop_share_one_client(service: Script) -> None:
    service.status = [RUNNING] * 20 + [COMPLETED]
    watched = [asyncio.create_task(fired(trigger())) for _ in range(20)]
    clients = set()
    while not all(watch.done() for watch in watched):
        clients.add(len(shared._clients))
        await asyncio.sleep(0.01)
    assert clients == {0, 1}


async def test_what_was_learned_outlives_the_client_and_is_kept_by_kind(service: Script) -> None:
    now = int(time.time())
    service.status = [Answer({**COMPLETED.body, "created_at": now - 21, "completed_at": now - 1})]
    for kind in ("m/2K/1", "m/2K/1", None):
        await fired(trigger(kind=kind))
        assert not shared._clients
    schedules = shared.schedules_for(GptImgHook().settings)
    finishes = [schedules.of(kind)._table.finishes for kind in ("m/2K/1", None, "m/1K/1")]
    assert finishes == [2, 1, 0]


async def test_killed_says_where_the_image_is(capsys: pytest.CaptureFixture[str]) -> None:
    await trigger().on_kill()
    said = capsys.readouterr().out
    assert GENERATION_ID in said
    assert "24 hours" in said
    assert "billed" in said


async def test_no_secret_in_a_trigger(service: Script) -> None:
    service.status = [Answer({"error": {"message": "no"}}, 401)]
    wait = trigger()
    (event,) = await fired(wait)
    for text in (repr(wait), json.dumps(wait.serialize()), json.dumps(event)):
        assert "sk-test" not in text


@pytest.mark.skipif(not writes_from_triggerer(), reason="This Airflow cannot write XComs from the triggerer")
async def test_the_supervisor_is_asked_once_while_the_generations_run(
    service: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer takes seconds, so nobody may need it only when an image is finished."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetXCom, XComResult

    asked: list[int] = []

    class Supervisor:
        async def asend(self, message: Any) -> XComResult:
            if isinstance(message, GetXCom):
                asked.append(len(service.received))
                await asyncio.sleep(0.05)
            return XComResult(key="asked", value=None)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    service.status = [RUNNING]
    waits = [trigger(end_task=True) for _ in range(2)]
    for wait in waits:
        wait.task_instance = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", map_index=-1)
    tasks = [asyncio.create_task(fired(wait)) for wait in waits]
    while len(service.received) < 4:
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert asked == [0], "once, and before the first look"
