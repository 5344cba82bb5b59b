"""Rate limits: two buckets per account, moved by the clock instead of by sleeping."""

from __future__ import annotations

import pytest

from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.limits import QUERY, SUBMIT, RateLimiter

GROUPS = [
    ("default", SUBMIT, 50, 300),
    ("default", QUERY, 500, 3_000),
    ("vip", SUBMIT, 167, 1_000),
    ("vip", QUERY, 1_667, 10_000),
    ("svip", SUBMIT, 334, 2_000),
    ("svip", QUERY, 5_000, 30_000),
]


class Time:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("group", "category", "burst", "per_minute"), GROUPS)
def test_burst_and_refill(group, category, burst, per_minute):
    time = Time()
    limiter = RateLimiter(group, Clock(time))
    assert all(limiter.take(category).allowed for _ in range(burst))
    assert not limiter.take(category).allowed
    time.seconds += 6  # a tenth of a minute
    assert sum(limiter.take(category).allowed for _ in range(burst)) == min(burst, per_minute // 10)
    time.seconds += 3600
    assert sum(limiter.take(category).allowed for _ in range(burst + 5)) == burst


def test_no_limits():
    limiter = RateLimiter("off", Clock())
    decisions = [limiter.take(SUBMIT) for _ in range(10_000)]
    assert all(decision.allowed and not decision.headers for decision in decisions)


def test_submissions_over_the_wire(service, slow, as_key):
    slow.configure(rate_limit="default")
    first = service.submit()
    assert first.headers["X-RateLimit-Limit"] == "50"
    assert first.headers["X-RateLimit-Remaining"] == "49"
    assert first.headers["X-RateLimit-Category"] == "async_submit"
    assert first.headers["Retry-After"] is None
    replies = [service.submit(prompt="") for _ in range(80)]  # a refused submission counts, too
    limited = [reply for reply in replies if reply.status == 429]
    assert 1 <= len(limited) <= 31  # the bucket refills while the test runs
    reply = limited[0]
    assert reply.error["code"] == "rate_limit_exceeded"
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers["X-RateLimit-Remaining"] == "0"
    assert 0 < int(reply.headers["X-RateLimit-Reset"]) - slow.advance(0) < 12
    # The limit is the account's: another key shares it. Status queries have a bucket of their own.
    statuses = [as_key("sk-other").submit().status for _ in range(20)]
    assert 429 in statuses
    assert service.status("nothing").status == 404
    assert service.status("nothing").headers["X-RateLimit-Category"] == "async_query"
    ledger = slow.ledger()
    assert ledger["requests"]["rate_limited"] == len(limited) + statuses.count(429)
    assert len(ledger["submissions"]) == 1 + statuses.count(200)
    slow.advance(10)
    assert service.submit().status == 200


def test_balance_and_downloads_are_not_limited(service, slow):
    slow.configure(rate_limit="default")
    (url,) = service.urls()
    for _ in range(60):
        assert service.call("GET", "/v1/balance").status == 200
        assert service.get(url).status == 200


def test_a_new_group_starts_with_full_buckets(service, slow):
    slow.configure(rate_limit="default")
    assert any(service.submit().status == 429 for _ in range(300))  # however slow the machine is
    slow.configure(rate_limit="vip")
    assert service.submit().headers["X-RateLimit-Remaining"] == "166"
