"""Nights of a catalogue with a cache on a local S3 server: an unchanged one, and one with 1 % changed.

The first night is left out: the cache is filled with one picture under the key of each item. The server
(moto), the emulator and the batch are separate processes on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.files.cache import Cache, key_of
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.result import NOTHING_ASKED, MadeBy, StoredImage
from benchmarks.tables import print_table
from dev.emulator import EmulatorProcess
from tests.support.object_store import FOLDER, server_process

HEAD = ("night", "items", "from the cache", "submitted", "looks", "seconds", "CPU s", "peak MiB")
MOST_SECONDS = 120.0


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether only changed items were paid for, and fast enough."""
    parser = argparse.ArgumentParser(prog="benchmarks cache_nights", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    count = parser.parse_args(arguments).items
    with tempfile.TemporaryDirectory(prefix="gptimg-bench-") as folder:
        options = ("--latency-median", "2", "--rate-limit", "off")
        with (
            server_process(Path(folder) / "s3.log") as store,
            EmulatorProcess(Path(folder) / "emulator.log", *options) as process,
        ):
            os.environ.update(store.environment)
            remote = Remote(process.url)
            os.environ["AIRFLOW_CONN_GPTIMG_DEFAULT"] = remote.airflow_connection
            _fill(count)
            changed = max(1, count // 100)
            rows = [_night(remote, "unchanged", count, 0), _night(remote, "1 % changed", count, changed)]
    print_table("Nights with a cache on S3", HEAD, rows)
    paid = [row[3] for row in rows]
    return paid == [0, changed] and rows[0][5] <= MOST_SECONDS


def _prompts(count: int, changed: int) -> Iterator[str]:
    for number in range(count):
        yield f"Product {number}{' in red' if number < changed else ''}"


def _fill(count: int) -> None:
    cache = Cache(Place.of(f"{FOLDER}/cache/"))
    content = b"\x89PNG" + bytes(2000)
    image = StoredImage(
        index=0,
        url="",
        uri="",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        width=1024,
        height=1024,
        format="png",
    )

    made_by = MadeBy(dag_id="catalogue", run_id="first", task_id="pictures", map_index=-1)

    def enter(prompt: str) -> None:
        slot = cache.slot(str(key_of(GenerationRequest.checked(prompt))), "task_img_0")
        slot.place_of(image).put_bytes(content)
        slot.complete([image], NOTHING_ASKED, made_by)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(enter, _prompts(count, 0)))


def _night(remote: Remote, name: str, count: int, changed: int) -> tuple[Any, ...]:
    before = remote.ledger()["requests"]
    operator = GptImgBatchOperator(
        task_id="pictures",
        items=[{"id": str(i), "prompt": prompt} for i, prompt in enumerate(_prompts(count, changed))],
        output_path=f"{FOLDER}/{changed}/",
        file_name="{id}",
        cache_path=f"{FOLDER}/cache/",
        deferrable=False,
    )
    ti = SimpleNamespace(
        id="0",
        dag_id="catalogue",
        run_id=name,
        task_id="pictures",
        map_index=-1,
        try_number=1,
        max_tries=0,
        xcom_push=lambda key, value: None,
    )
    began, busy = time.monotonic(), time.process_time()
    result = operator.execute({"ti": ti})
    seconds, cpu = time.monotonic() - began, time.process_time() - busy
    after = remote.ledger()["requests"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    submitted, looks = (after[kind] - before[kind] for kind in ("submit", "status"))
    return (name, result["completed"], result["cached"], submitted, looks, seconds, cpu, peak)
