"""What a StatsD server hears from the workers and the triggerer of a real Airflow."""

from __future__ import annotations

import re

import pytest

from airflow_provider_gptimg.hooks import metrics
from dev.processes import wait_until

OURS = "airflow.gptimg."


@pytest.fixture(scope="module")
def heard(airflow_stack, emulator_process, statsd, tmp_path_factory):
    """Return the listener after a run, of which nothing is missing."""
    emulator_process.reset()
    run = airflow_stack.api.start_dag("metrics", conf={"folder": str(tmp_path_factory.mktemp("cards"))})
    assert run.wait(180) == "failed", run.describe()
    wait_until(
        lambda: statsd.total(f"{OURS}completed", dag_id="metrics") == 3, 10, lambda: str(statsd.names(OURS))
    )
    return statsd


def total(heard, name, **labels):
    return round(heard.total(f"{OURS}{name}", dag_id="metrics", **labels), 6)


def test_what_is_paid_and_made_is_counted_wherever_a_task_ends(heard):
    assert total(heard, "submissions", model="gpt-image-2") == 4  # what was refused was not accepted
    assert total(heard, "completed") == 3
    assert total(heard, "images") == 4
    assert total(heard, "cost_usd") == 0.06


def test_failures_are_counted_by_reason(heard):
    assert total(heard, "failed", reason="failed") == total(heard, "failed.failed") == 1
    assert total(heard, "failed", reason="content_policy") == total(heard, "failed.content_policy") == 1


def test_times_are_milliseconds(heard):
    for name in ("duration", "lateness"):
        times = heard.sent(f"{OURS}{name}", dag_id="metrics")
        assert [each.kind for each in times] == ["ms"] * 3
    assert all(500 < each.value < 60_000 for each in heard.sent(f"{OURS}duration", dag_id="metrics"))


def test_looks_are_counted(heard):
    assert heard.total(f"{OURS}looks") >= 4


def test_resumable_jobs_are_counted_where_airflow_counts_its_own(heard):
    from airflow_provider_gptimg.compat.statistics import counts_resumable_jobs

    labels = {"operator": "GptImgGenerateOperator"}
    assert bool(heard.total("airflow.resumable_job.fresh_submit", **labels)) is counts_resumable_jobs()


def test_everything_that_is_sent_is_documented(heard):
    names = {value for value in vars(metrics).values() if str(value).startswith("gptimg.")}
    sent = {re.sub(r"failed\..*", "failed", name.removeprefix("airflow.")) for name in heard.names(OURS)}
    assert sent <= names
    elsewhere = {metrics.REATTACHED, metrics.CACHED, metrics.SAVED, metrics.RATE_LIMITED}
    assert names - sent <= elsewhere


def test_labels_are_few(heard):
    for name, labels in heard.kinds(OURS).items():
        assert labels <= {"dag_id", "model", "reason", "category"}, name
