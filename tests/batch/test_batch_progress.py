"""What a batch says of itself while it works."""

from __future__ import annotations

from airflow_provider_gptimg.batch.progress import Progress
from tests.support.driving import Clock


def test_counts_rate_and_the_time_that_is_left() -> None:
    clock = Clock(0.0)
    progress = Progress(1000, completed=190, failed=10, clock=clock)
    progress.begin()
    assert progress.line() == "190 done / 0 in flight / 10 failed / 1000 total; 0.0 a second, no estimate yet"
    clock.now, progress.completed, progress.in_flight = 10.0, 240, 30
    assert progress.line() == (
        "240 done / 30 in flight / 10 failed / 1000 total; 5.0 a second, about 2 min 30 s left"
    )


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock(0.0)
    progress = Progress(100_000, clock=clock)
    progress.begin()
    for second in range(0, 600, 5):
        clock.now, progress.completed = float(second), min(second, 300) * 10
        line = progress.line()
    assert "3000 done" in line
    assert "no estimate yet" in line
    clock.now, progress.completed = 605.0, 3010
    assert "about 161 h" in progress.line()
