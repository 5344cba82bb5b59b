"""The cost of metrics if Airflow sends none: their CPU compared to the CPU of one look at a generation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import httpx

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import SyncClient
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.hooks.metrics import Metrics, replied
from airflow_provider_gptimg.result import NOTHING_ASKED, result_of
from benchmarks.tables import print_table

MOST = 0.05
"""The most that counting a look may cost, as a share of the look's CPU."""

HEAD = ("what", "microseconds", "of a look")
RUNNING = {"id": "tsk_1", "object": "generation.task", "status": "in_progress", "progress": 50}


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether counting a look costs next to nothing."""
    parser = argparse.ArgumentParser(prog="benchmarks metrics_off", description=__doc__)
    parser.add_argument("--times", type=int, default=5000)
    times = parser.parse_args(arguments).times
    metrics = Metrics()
    generation = Generation(
        id="tsk_1",
        status="completed",
        urls=("https://x/1",),
        created_at=1_790_000_000.0,
        completed_at=1_790_000_012.0,
    )
    result = result_of(generation, {**NOTHING_ASKED, "model": "gpt-image-2", "resolution": "1K"})
    settings = Settings(base_url="http://127.0.0.1", api_key="sk-bench")
    answering = httpx.MockTransport(lambda request: httpx.Response(200, json=RUNNING))
    with SyncClient(settings, transport=answering, sleep=lambda seconds: None) as client:

        def look() -> None:
            client.run(flows.query("tsk_1", clock=time.time, give_up_at=time.time() + 60))

        of_a_look = _microseconds(look, times)
    rows = [
        ("a look, without network", of_a_look),
        ("counting a look", _microseconds(lambda: replied("query", 200), times)),
        ("counting a result, with its span", _microseconds(lambda: metrics.given(result), times)),
    ]
    print_table("Metrics that are off", HEAD, [(name, took, took / of_a_look) for name, took in rows])
    return rows[1][1] / of_a_look <= MOST


def _microseconds(work: Callable[[], object], times: int) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6
