"""What the benchmark of the triggers compares with: its jobs, its limit, its ideal scheduler."""

from __future__ import annotations

from statistics import fmean, median

import pytest

from benchmarks.ideal import ideal
from benchmarks.job_service import Jobs, answer, durations


def test_the_jobs_are_those_of_the_seed() -> None:
    assert durations(1_000, 1) == durations(1_000, 1) != durations(1_000, 2)
    assert median(durations(5_000, 1)) == pytest.approx(20.0, rel=0.05)


def test_an_ideal_scheduler_without_need_follows_the_schedule() -> None:
    outcome = ideal(1_000, 1, 5.0, rate=10_000.0)
    assert fmean(outcome.lateness) == pytest.approx(1.75, abs=0.15)
    assert outcome.polls / 1_000 == pytest.approx(5.0, abs=0.2)


def test_under_a_limit_it_stays_within_it_and_is_later() -> None:
    outcome = ideal(1_000, 1, 5.0, rate=50.0)
    assert outcome.polls <= 500 + 50 * max(
        taken + late for taken, late in zip(durations(1_000, 1), outcome.lateness, strict=True)
    )
    assert 4.0 < fmean(outcome.lateness) < 8.0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations/job-0", b""),
        ("/v1/batches/job-0", b""),
        ("/v1/messages/batches/job-0", b""),
        ("/api/2.2/jobs/runs/get", b'{"run_id": 0}'),
    ],
)
def test_every_address_is_limited_and_counted(path: str, body: bytes) -> None:
    jobs = Jobs(rate=5.0)
    jobs.start(1, seed=1)
    statuses = [answer(jobs, path, body)[0] for _ in range(60)]
    assert (statuses[:50], statuses[-1]) == ([200] * 50, 429)
    assert (jobs.polls, jobs.limited) == (60, statuses.count(429))
