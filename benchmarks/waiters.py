"""The compared triggers, with the same jobs for each: how to connect and construct them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from airflow.triggers.base import BaseTrigger, TriggerEvent

PATIENCE = 1800.0
"""Seconds that a wait may take."""

KEY = "sk-benchmark"
UNLIMITED = 100_000
"""Calls per second: no limit."""

Waiter = Callable[[int], BaseTrigger]
"""Makes the trigger for the job with this number."""


def _connect(name: str, **connection: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)


def gptimg(url: str, interval: float, limit: float) -> Waiter:
    """Return our trigger."""
    from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

    extra = {"query_rps": limit or UNLIMITED}
    _connect("gptimg_default", conn_type="gptimg", host=url, password=KEY, extra=extra)

    def waiter(number: int) -> GptImgGenerationTrigger:
        trigger = GptImgGenerationTrigger(
            generation_id=f"job-{number}",
            conn_id="gptimg_default",
            poll_interval=interval,
            deadline=time.time() + PATIENCE,
        )
        trigger.trigger_id = number  # as a triggerer does; without an id it would not hold its event back
        return trigger

    return waiter


def openai(url: str, interval: float, _limit: float) -> Waiter:
    """Return the trigger of Apache's OpenAI provider."""
    from airflow.providers.openai.triggers.openai import OpenAIBatchTrigger

    _connect("openai_default", conn_type="openai", host=f"{url}/v1", password=KEY)
    return lambda number: OpenAIBatchTrigger(
        conn_id="openai_default", batch_id=f"job-{number}", poll_interval=interval, timeout=PATIENCE
    )


def anthropic(url: str, interval: float, _limit: float) -> Waiter:
    """Return the trigger of Apache's Anthropic provider."""
    from airflow.providers.anthropic.triggers.batch import AnthropicBatchTrigger

    _connect("anthropic_default", conn_type="anthropic", host=url, password=KEY)
    return lambda number: AnthropicBatchTrigger(
        conn_id="anthropic_default",
        batch_id=f"job-{number}",
        poll_interval=interval,
        end_time=time.time() + PATIENCE,
    )


def databricks(url: str, interval: float, _limit: float) -> Waiter:
    """Return the trigger of Apache's Databricks provider."""
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    parts = urlsplit(url)
    where = {"host": parts.hostname, "port": parts.port, "schema": parts.scheme}
    _connect("databricks_default", conn_type="databricks", **where, extra={"token": KEY})
    return lambda number: DatabricksExecutionTrigger(
        run_id=number,
        databricks_conn_id="databricks_default",
        polling_period_seconds=int(interval),
    )


class PlainTrigger(BaseTrigger):
    """A trigger that a DAG author writes in ten minutes."""

    def __init__(self, url: str, interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the keyword arguments."""
        return f"{__name__}.PlainTrigger", {"url": self.url, "interval": self.interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the job is over."""
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
            while True:
                response = await client.get(self.url)
                response.raise_for_status()
                status = response.json()["status"]
                if status in ("completed", "failed"):
                    yield TriggerEvent({"status": status})  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.interval)


def plain(url: str, interval: float, _limit: float) -> Waiter:
    """Return a hand-written loop around httpx."""
    return lambda number: PlainTrigger(f"{url}/v1/images/generations/job-{number}", interval)


def succeeded(payload: Any) -> bool:
    """Return whether an event of any of them says that the job is done."""
    state = payload.get("run_state")  # Databricks
    return payload.get("status") in ("success", "completed") or (
        state is not None and json.loads(state)["result_state"] == "SUCCESS"
    )


WAITERS: dict[str, Callable[[str, float, float], Waiter]] = {
    "gptimg": gptimg,
    "openai": openai,
    "anthropic": anthropic,
    "databricks": databricks,
    "plain": plain,
}
