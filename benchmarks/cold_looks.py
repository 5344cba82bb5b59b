"""The lateness of waits without experience, and the cost of a wrong prior: simulated, without a service.

Each row is one kind of generation that the prior of 1K images expects to take 5 to 30 s. "Fixed" looks once
per interval. "Alone" is the first wait of a process, "sixth" the sixth in a row, "24 at once" a map of
tasks. A triggerer's wait begins two seconds after the submission, without knowing that. Nothing else takes
time.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from statistics import fmean, median

from airflow_provider_gptimg.api.polling.prior import prior_of
from airflow_provider_gptimg.api.polling.schedule import Schedule
from benchmarks.tables import print_markdown
from tests.support.waits import INTERVAL, log_normal, waited

HUMPS = "8 s and 60 s"
KINDS: dict[str, Callable[[int, int], list[float]]] = {
    "2 s": lambda count, seed: log_normal(count, seed, 2.0, 0.2),
    "8 s": lambda count, seed: log_normal(count, seed, 8.0, 0.02),
    "8 s, sigma 0.4": lambda count, seed: log_normal(count, seed, 8.0, 0.4),
    "20 s": lambda count, seed: log_normal(count, seed, 20.0, 0.02),
    "20 s, sigma 0.4": lambda count, seed: log_normal(count, seed, 20.0, 0.4),
    "3 minutes": lambda count, seed: log_normal(count, seed, 180.0, 0.2),
    HUMPS: lambda count, seed: [
        log_normal(
            1, 1000 * seed + number, 8.0 if random.Random(seed + number).random() < 0.7 else 60.0, 0.2
        )[0]
        for number in range(count)
    ],
}
HEAD = (
    "images of",
    "wait",
    "fixed looks",
    "late s",
    "alone looks",
    "late s",
    "sixth looks",
    "late s",
    "24 looks",
    "late s",
)
Figures = tuple[float, float]


def main(arguments: list[str]) -> bool:
    """Simulate, print the table, and return whether images of 8 s and 20 s kept the promises."""
    parser = argparse.ArgumentParser(prog="benchmarks cold_looks", description=__doc__)
    parser.add_argument("--runs", type=int, default=60, help="processes of each row")
    options = parser.parse_args(arguments)
    rows = [
        (kind, where, *_row(kind, before, options.runs))
        for kind in KINDS
        for where, before in (("worker", 0.0), ("triggerer", 2.0))
    ]
    print_markdown(f"Cold waits, interval {INTERVAL:g} s (median lateness, mean looks)", HEAD, rows)
    return all(row[4] <= 5.1 and row[5] <= 2.6 for row in rows if row[0] in ("8 s", "20 s"))  # type: ignore[operator]


def _row(kind: str, before: float, runs: int) -> tuple[float, ...]:
    return (
        *_measured(kind, before, runs, 1, learns=False),
        *_measured(kind, before, runs, 1),
        *_measured(kind, before, runs, 6, only=5),
        *_measured(kind, before, max(1, runs // 6), 24, apart=0.02),
    )


def _measured(
    kind: str,
    before: float,
    runs: int,
    count: int,
    *,
    apart: float = 600.0,
    only: int | None = None,
    learns: bool = True,
) -> Figures:
    """Return the mean number of looks and the median lateness in seconds."""
    looks, late = [], []
    for seed in range(runs):
        durations = KINDS[kind](count, seed)
        result = waited(
            durations,
            Schedule(prior_of("1K", 1)) if learns else None,
            begins=lambda number: number * apart,
            submitted_before=before,
            seed=seed,
        )
        # Lateness comes in the order of the finishes, which is the order of the waits if they are far apart.
        chosen = range(count) if only is None else [only]
        looks += [len(result.ages[number]) for number in chosen]
        late += result.late if only is None else [result.late[only]]
    return fmean(looks), median(late)
