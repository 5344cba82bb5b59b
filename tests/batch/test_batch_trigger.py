"""The trigger of a batch: it fires when enough is over, or when it cannot know."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.triggers.batch import GptImgBatchTrigger
from tests.support.batches import connect, submissions


def trigger(generation_ids: list[str], **changes: Any) -> GptImgBatchTrigger:
    fixed = {"conn_id": "gptimg_default", "poll_interval": 0.2, "deadline": time.time() + 60, "kind": "k"}
    return GptImgBatchTrigger(
        **{"generation_ids": generation_ids, "enough": len(generation_ids), **fixed, **changes}
    )


async def fired(trigger: GptImgBatchTrigger) -> tuple[Any, float]:
    began = time.monotonic()
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0], time.monotonic() - began


def submit(*prompts: str) -> list[str]:
    hook = GptImgHook()
    return [hook.submit(prompt).id for prompt in prompts]


async def test_it_fires_when_enough_are_over_and_leaves_the_rest(emulator: Any) -> None:
    emulator.configure(latency_median=0.5)
    names = await asyncio.to_thread(submit, "A fox", "A bear", "[slow] owl")
    event, seconds = await fired(trigger(names, enough=2))
    assert event == {"status": "ready", "over": 2}
    assert seconds < 4  # the slow one takes five
    assert len(asyncio.all_tasks()) == 1  # nobody looks at it any more


async def test_failed_and_unknown_ones_are_over(emulator: Any) -> None:
    names = await asyncio.to_thread(submit, "A fox", "[fail]")
    event, _ = await fired(trigger([*names, "task_unknown"]))
    assert event == {"status": "ready", "over": 3}


async def test_it_fires_at_the_deadline(emulator: Any) -> None:
    emulator.configure(latency_median=60)
    names = await asyncio.to_thread(submit, "A fox")
    event, seconds = await fired(trigger(names, deadline=time.time() + 0.5, poll_interval=0.1))
    assert event == {"status": "ready", "over": 1}
    assert 0.4 < seconds < 5
    assert submissions(emulator)[0]["polls"] > 1


async def test_certificates_that_are_not_there_end_no_trigger(
    emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, verify="/nowhere/ca.pem")
    event, _ = await fired(trigger(["task_a"]))
    assert event == {"status": "ready", "over": 0}


async def test_without_a_connection_the_worker_has_to_say_so(emulator: Any) -> None:
    event, _ = await fired(trigger(["task_a"], conn_id="gptimg_gone"))
    assert event == {"status": "ready", "over": 0}
