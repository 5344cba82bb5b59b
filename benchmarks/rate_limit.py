"""Many workers under one account's rate limit: all get their images, none pays twice, no time is lost.

The processes share only the service. So together they hit its limit, get a 429, wait and go on. The least
time under the limit is (submissions - burst) / rate. A single process never gets a 429.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_gptimg.api.polling.rate_limit import (
    BURST_SECONDS,
    QUERIES_PER_SECOND,
    SUBMITS_PER_SECOND,
)
from airflow_provider_gptimg.emulator.remote import Remote
from benchmarks.tables import print_table
from dev.emulator import EmulatorProcess

MOST = 1.3
"""The longest it may take, as a multiple of the least time under the limit."""

HEAD = ("who", "processes", "calls", "succeeded", "paid", "429s", "seconds", "ideal seconds", "ratio")
STARTUP_SECONDS = 300


def main(arguments: list[str]) -> bool:
    """Measure, print the table, and return whether everything is as promised."""
    parser = argparse.ArgumentParser(prog="benchmarks rate_limit", description=__doc__)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--queries", type=int, default=1000, help="status queries of one process alone")
    parser.add_argument("--group", choices=SUBMITS_PER_SECOND, default="default")
    options = parser.parse_args(arguments)
    many = partial(measure, options.group, "submit", processes=options.processes, calls=options.submissions)
    alone = partial(measure, options.group, processes=1)
    with tempfile.TemporaryDirectory(prefix="gptimg-bench-") as folder:
        log = Path(folder) / "emulator.log"
        rows = [
            many(log, "one after the other", one_after_the_other),
            many(log, "each as a new process", as_new_processes),
            many(log, "all at once, in threads", all_at_once),
            alone("submit", log, "alone", one_after_the_other, calls=options.submissions),
            alone("submit", log, "alone, in threads", all_at_once, calls=options.submissions),
            alone("query", log, "alone, status queries", one_after_the_other, calls=options.queries),
            alone("query", log, "alone, in threads", in_a_few_threads, calls=options.queries),
        ]
    print_table(f"Rate limits of the group {options.group!r}", HEAD, rows)
    return all(_kept(row) for row in rows)


def _kept(row: tuple[Any, ...]) -> bool:
    _, processes, calls, succeeded, paid, limited, _, ideal, ratio = row
    return (
        succeeded == calls
        and paid in (calls, "-")
        and (processes > 1 or not limited)
        and (not ideal or paid == "-" or ratio <= MOST)
    )


def measure(
    group: str, what: str, log: Path, title: str, way: Callable[..., None], *, processes: int, calls: int
) -> tuple[Any, ...]:
    """Let processes make their calls to a new emulator, and return the row of the table.

    :param what: ``submit`` or ``query``.
    :param way: how each process makes its share of the calls.
    """
    print(f"  {title} ...", flush=True)
    per_second = (SUBMITS_PER_SECOND if what == "submit" else QUERIES_PER_SECOND)[group]
    ideal = max(0.0, calls / per_second - BURST_SECONDS)
    patience = STARTUP_SECONDS + 3 * ideal  # a process that died does not report
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(processes + 1), context.Queue()
    log.unlink(missing_ok=True)
    with EmulatorProcess(log, "--rate-limit", group, "--balance", "1000") as emulator:
        remote = Remote(emulator.url)
        share = [calls // processes + (number < calls % processes) for number in range(processes)]
        workers = [
            context.Process(
                target=_work,
                args=(_connection(remote, group), what, partial(way, amount=amount), f"bench-{number}"),
                kwargs={"ready": ready, "done": done},
                daemon=True,
            )
            for number, amount in enumerate(share)
        ]
        for worker in workers:
            worker.start()
        ready.wait(STARTUP_SECONDS)
        began = time.monotonic()
        ended = [done.get(timeout=patience) for _ in workers]
        seconds = time.monotonic() - began
        for worker in workers:
            worker.join()
        ledger = remote.ledger()
    for error in {error for _, errors in ended for error in errors}:
        print(f"    {error}")
    return (
        title,
        processes,
        calls,
        sum(succeeded for succeeded, _ in ended),
        _paid_once(ledger["submissions"]) if what == "submit" else "-",
        ledger["requests"]["rate_limited"],
        round(seconds, 1),
        ideal,
        seconds / ideal if ideal else 0.0,
    )


def _connection(remote: Remote, group: str) -> str:
    return json.dumps({**json.loads(remote.airflow_connection), "extra": {"rate_limit_group": group}})


def _paid_once(submissions: list[dict[str, Any]]) -> int:
    """Return the number of billed submissions, or complain if one was billed twice."""
    times = Counter(row["client_business_id"] for row in submissions)
    for business_id, paid in times.items():
        if paid > 1:
            print(f"    {business_id} was paid {paid} times")
    return sum(times.values())


def _work(connection: str, what: str, way: Callable[..., None], name: str, *, ready: Any, done: Any) -> None:
    """Run one worker process: make the calls, and report the errors and the number of successes."""
    os.environ["AIRFLOW_CONN_GPTIMG_DEFAULT"] = connection
    from airflow_provider_gptimg.hooks.gptimg import GptImgHook

    hook, succeeded, errors = GptImgHook(), list[int](), list[str]()
    one = _submit if what == "submit" else _query
    if what == "query":
        name = hook.submit("a picture to ask for").id

    def call(number: int) -> None:
        try:
            one(hook, name, number)
        except Exception as error:  # noqa: BLE001 - every failure is reported
            errors.append(f"{type(error).__name__}: {error}")
        else:
            succeeded.append(number)

    ready.wait(STARTUP_SECONDS)
    way(call)
    done.put((len(succeeded), errors))


def _submit(hook: Any, name: str, number: int) -> None:
    """Submit the way the operator does."""
    from airflow_provider_gptimg.api.request import GenerationRequest
    from airflow_provider_gptimg.payment.submission import Reconciler

    request = GenerationRequest.checked(f"{name}: picture {number}")
    reconciler = Reconciler(
        request=request,
        business_id=lambda ordinal: f"af-{name}-{number}-{ordinal}",
        fresh=True,
        on_ambiguous="resubmit",
        give_up_at=time.time() + 1800,
        clock=time.time,
        report=print,
    )
    hook.run(reconciler.submit())


def _query(hook: Any, generation_id: str, number: int) -> None:
    hook.get_generation(generation_id)


def one_after_the_other(call: Callable[[int], None], amount: int) -> None:
    """Make one call after the other, like a loop in a Python task."""
    for number in range(amount):
        call(number)


def as_new_processes(call: Callable[[int], None], amount: int) -> None:
    """Make one call after the other, each without knowledge of the last, like an executor's tasks."""
    from airflow_provider_gptimg.hooks.shared import buckets_for

    for number in range(amount):
        buckets_for.cache_clear()
        call(number)


def all_at_once(call: Callable[[int], None], amount: int, threads: int | None = None) -> None:
    """Make the calls from many threads, each with its share."""
    numbers = iter(range(amount))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            call(number)

    crowd = [threading.Thread(target=work) for _ in range(threads or amount)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()


def in_a_few_threads(call: Callable[[int], None], amount: int) -> None:
    """Make the calls from a few threads: as many as keep the core busy."""
    all_at_once(call, amount, threads=20)
