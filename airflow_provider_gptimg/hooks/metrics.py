"""Metrics and traces: counters and timings in Airflow's statistics, spans in Airflow's traces."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from airflow_provider_gptimg.api.generation import COMPLETED
from airflow_provider_gptimg.api.wire import Category
from airflow_provider_gptimg.compat.statistics import counts_resumable_jobs, statistics
from airflow_provider_gptimg.payment.submission import Origin, Submission
from airflow_provider_gptimg.result import Result, moment_in

log = logging.getLogger(__name__)
_tracer = trace.get_tracer(__name__)

SUBMISSIONS = "gptimg.submissions"
REATTACHED = "gptimg.reattached"
CACHED = "gptimg.cached"
COMPLETIONS = "gptimg.completed"
FAILURES = "gptimg.failed"
IMAGES = "gptimg.images"
COST = "gptimg.cost_usd"
SAVED = "gptimg.saved_usd"
DURATION = "gptimg.duration"
LATENESS = "gptimg.lateness"
LOOKS = "gptimg.looks"
RATE_LIMITED = "gptimg.rate_limited"

SPAN = "generate_content"
"""The operation in OpenTelemetry's conventions for generative AI. A span's name has it and the model."""


class Metrics:
    """Counts for one task. If a metric cannot be sent, it is only logged, and the task does not fail.

    :param ti: the task instance, whose DAG becomes a label; None if there is no task instance.
    """

    def __init__(self, ti: Any = None) -> None:
        dag_id = getattr(ti, "dag_id", None)
        self._tags: dict[str, str] = {} if dag_id is None else {"dag_id": str(dag_id)}

    def submitted(self, submission: Submission, model: str) -> None:
        """Count a submission, or that an earlier one was found again."""
        name = SUBMISSIONS if submission.origin is Origin.SUBMITTED else REATTACHED
        with _harmless():
            statistics().incr(name, tags={**self._tags, "model": model})

    def given(self, result: Result) -> None:
        """Count a result that a task returns, and record its span."""
        with _harmless():
            tags = {**self._tags, "model": str(result["model"])}
            stats = statistics()
            stats.incr(COMPLETIONS, tags=tags)
            stats.incr(IMAGES, len(result["images"]), tags=tags)
            if result["cost_usd"]:
                stats.incr(COST, result["cost_usd"], tags=tags)
            created, completed = moment_in(result, "created_at"), moment_in(result, "completed_at")
            if completed is not None:
                stats.timing(LATENESS, max(0.0, time.time() - completed) * 1000.0, tags=tags)
                if created is not None:
                    stats.timing(DURATION, max(0.0, completed - created) * 1000.0, tags=tags)
            _leave_span(result, created, completed)

    def cached(self, result: Result, saved_usd: float | None) -> None:
        """Count a result that was taken from the cache.

        :param saved_usd: what it would have cost, or None if that is not known.
        """
        with _harmless():
            tags = {**self._tags, "model": str(result["model"])}
            stats = statistics()
            stats.incr(CACHED, tags=tags)
            if saved_usd:
                stats.incr(SAVED, saved_usd, tags=tags)

    def failed(self, reason: str) -> None:
        """Count a failed generation or a failed submission.

        :param reason: one of a few codes. A second metric has the reason in its name, because plain StatsD
            has no labels.
        """
        with _harmless():
            stats = statistics()
            stats.incr(FAILURES, tags={**self._tags, "reason": reason})
            stats.incr(f"{FAILURES}.{reason}", tags=self._tags)

    def resumed(self, operator: str, known: str | None, submission: Submission) -> None:
        """Count like Airflow's own resumable operators (3.3 and newer), and record the same span.

        :param known: the id of the generation that an earlier attempt left, or None.
        """
        if not counts_resumable_jobs():
            return
        with _harmless():
            decision = _decision(known, submission)
            tags = {"operator": operator}
            if known is not None or decision == "reconnect":
                statistics().incr("resumable_job.reconnect_attempt", tags=tags)
            counted = "reconnect_success" if decision == "reconnect" else decision
            statistics().incr(f"resumable_job.{counted}", tags=tags)
            attributes = {"operator": operator, "resumable.decision": decision}
            if known is not None:
                attributes["resumable.external_id"] = known
            _tracer.start_span("resumable_job.resume_decision", attributes=attributes).end()


def replied(category: Category, status: int) -> None:
    """Count a look at a generation, or an answer that asks to slow down."""
    with _harmless():
        if category == "query":
            statistics().incr(LOOKS)
        if status == 429:
            statistics().incr(RATE_LIMITED, tags={"category": category})


def _decision(known: str | None, submission: Submission) -> str:
    if submission.origin is Origin.SUBMITTED:
        return "fresh_submit" if known is None else "terminal_resubmit"
    return "already_succeeded" if submission.generation.status == COMPLETED else "reconnect"


def _leave_span(result: Result, created: float | None, completed: float | None) -> None:
    """Leave a span from the submission to the end of a generation, under the span that is open now."""
    if created is None or completed is None:
        return
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": SPAN,
        "gen_ai.output.type": "image",
        "gen_ai.request.model": result["model"],
        "gen_ai.request.choice.count": len(result["images"]) + result["missing"],
        "gen_ai.response.id": result["generation_id"],
        "gptimg.resolution": result["resolution"],
        "gptimg.size": result["size"],
        "gptimg.submissions": result["submissions"],
        "gptimg.cost_usd": result["cost_usd"],
        "gptimg.cost_estimated": result["cost_estimated"],
    }
    span = _tracer.start_span(
        f"{SPAN} {result['model']}",
        start_time=int(created * 1e9),
        attributes={name: value for name, value in attributes.items() if value is not None},
    )
    span.end(int(max(created, completed) * 1e9))


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a statistics backend of someone's own raises
        log.debug("A metric could not be sent (%s: %s).", type(error).__name__, error)
