"""One process that makes a batch as a worker does, and measures itself.

Run as ``python -m benchmarks.batch_process`` with its :class:`Order` as JSON; prints the
:class:`Measured` as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

from benchmarks.loop_watch import resident_kib


@dataclass(frozen=True)
class Order:
    """What to make.

    :param url: the service's URL.
    :param extra: the connection's extra.
    :param folder: the folder for the images and the list of items.
    """

    url: str
    extra: dict[str, Any]
    folder: str
    count: int


@dataclass(frozen=True)
class Measured:
    """The measurements.

    :param seconds: duration of the whole batch.
    :param cpu: CPU seconds of the process, from the batch's beginning to its end.
    :param picture_cpu: the part of ``cpu`` for fetching, checking and storing pictures.
    :param before_mib: memory before the batch, with all imports.
    :param peak_mib: peak memory.
    """

    completed: int
    seconds: float
    cpu: float
    picture_cpu: float
    before_mib: float
    peak_mib: float


class _Stopwatch:
    """The CPU time of the threads that store pictures."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def wrap(self, store: Any) -> Any:
        def timed(storage: Any, *given: Any) -> Any:
            began = time.thread_time()
            try:
                return store(storage, *given)
            finally:
                with self._lock:
                    self.seconds += time.thread_time() - began

        return timed


def measure(order: Order) -> Measured:
    """Make the batch and return the measurements."""
    connection = {"conn_type": "gptimg", "host": order.url, "password": "sk-bench", "extra": order.extra}
    os.environ["AIRFLOW_CONN_GPTIMG_DEFAULT"] = json.dumps(connection)
    from airflow_provider_gptimg.files.storage import Storage
    from airflow_provider_gptimg.operators.batch import GptImgBatchOperator

    items = f"{order.folder}/items.jsonl"
    with open(items, "w") as file:  # noqa: PTH123
        file.writelines(f'"A picture of the number {number}"\n' for number in range(order.count))
    batch = GptImgBatchOperator(
        task_id="images", items=items, output_path=f"file://{order.folder}/out", deferrable=False
    )
    ti = SimpleNamespace(
        id="bench", dag_id="bench", run_id="run", task_id="images", map_index=-1, try_number=1, max_tries=0
    )
    ti.xcom_push = lambda key, value: None
    stopwatch = _Stopwatch()
    Storage.store = stopwatch.wrap(Storage.store)  # type: ignore[method-assign]
    before = resident_kib() / 1024
    began, cpu = time.monotonic(), time.process_time()
    result = batch.execute({"ti": ti})  # type: ignore[arg-type]
    return Measured(
        completed=result["completed"],
        seconds=time.monotonic() - began,
        cpu=time.process_time() - cpu,
        picture_cpu=stopwatch.seconds,
        before_mib=before,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Order(**json.loads(sys.argv[1]))))))
