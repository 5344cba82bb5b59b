"""What is counted and told of a generation: here by Airflow's tracer, on a real Airflow in tests/airflow."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.exceptions import GptImgError, GptImgQuotaError, GptImgTimeoutError
from airflow_provider_gptimg.hooks import metrics
from airflow_provider_gptimg.hooks.metrics import Metrics
from airflow_provider_gptimg.payment.receipt import Receipt
from airflow_provider_gptimg.payment.submission import Origin, Submission
from airflow_provider_gptimg.result import NOTHING_ASKED, result_of

BEGAN = 1_790_000_000.0
ASKED = {
    **NOTHING_ASKED,
    "model": "gpt-image-2",
    "prompt": "a secret fox",
    "size": "16:9",
    "resolution": "2K",
    "submissions": 1,
    "n": 2,
}


@pytest.fixture
def spans(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(metrics, "_tracer", tracer)
    with tracer.start_as_current_span("worker.draw") as parent:
        yield parent, exporter


def generation(status="completed", **facts):
    facts = {"created_at": BEGAN, "completed_at": BEGAN + 12.5, "cost_usd": 0.02, **facts}
    return Generation(id="tsk_1", status=status, urls=("https://x/1", "https://x/2"), **facts)


def submission(origin, status="running"):
    receipt = Receipt(generation_id="tsk_1", ordinal=1, submissions=1, submitted_at=BEGAN)
    return Submission(
        generation=generation(status), client_business_id="af-1-1", receipt=receipt, origin=origin
    )


def test_a_generation_is_a_span_under_the_span_of_its_task(spans):
    parent, exporter = spans
    Metrics().given(result_of(generation(), ASKED))
    (span,) = exporter.get_finished_spans()
    assert span.name == "generate_content gpt-image-2"
    assert span.parent.span_id == parent.get_span_context().span_id
    assert (span.start_time, span.end_time) == (int(BEGAN * 1e9), int((BEGAN + 12.5) * 1e9))
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.request.model": "gpt-image-2",
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.id": "tsk_1",
        "gptimg.resolution": "2K",
        "gptimg.size": "16:9",
        "gptimg.submissions": 1,
        "gptimg.cost_usd": 0.02,
        "gptimg.cost_estimated": False,
    }


def test_no_prompt_and_no_address_is_told(spans):
    _, exporter = spans
    Metrics().given(result_of(generation(), ASKED))
    told = str([span.to_json() for span in exporter.get_finished_spans()])
    assert "fox" not in told
    assert "https://x" not in told


def test_a_generation_whose_times_are_not_known_is_no_span(spans):
    _, exporter = spans
    Metrics().given(result_of(generation(created_at=None), ASKED))
    assert exporter.get_finished_spans() == ()


@pytest.mark.skipif(not metrics.counts_resumable_jobs(), reason="Airflow counts resumable jobs from 3.3 on")
@pytest.mark.parametrize(
    ("known", "origin", "status", "decision"),
    [
        (None, Origin.SUBMITTED, "pending", "fresh_submit"),
        ("tsk_0", Origin.SUBMITTED, "pending", "terminal_resubmit"),
        ("tsk_1", Origin.ATTACHED, "running", "reconnect"),
        (None, Origin.ATTACHED, "running", "reconnect"),
        ("tsk_1", Origin.ATTACHED, "completed", "already_succeeded"),
    ],
)
def test_what_a_retry_does_is_told_as_airflows_own_operators_tell_it(spans, known, origin, status, decision):
    _, exporter = spans
    Metrics().resumed("GptImgGenerateOperator", known, submission(origin, status))
    (span,) = exporter.get_finished_spans()
    assert span.name == "resumable_job.resume_decision"
    assert span.attributes["resumable.decision"] == decision
    assert span.attributes.get("resumable.external_id") == known


def test_statistics_that_break_break_no_task(monkeypatch):
    def broken():
        raise RuntimeError("no such host")

    monkeypatch.setattr(metrics, "statistics", broken)
    Metrics().submitted(submission(Origin.SUBMITTED), "gpt-image-2")
    Metrics().given(result_of(generation(), ASKED))
    Metrics().failed("quota")
    metrics.replied("query", 429)


def test_a_reason_is_one_of_few_words():
    assert GptImgQuotaError("no money").reason == "quota"
    assert GptImgTimeoutError("late").reason == "timeout"
    assert GptImgError("odd").reason == "unavailable"


def test_without_a_tracer_that_is_set_up_nothing_happens():
    assert not trace.get_current_span().is_recording()
    Metrics().given(result_of(generation(), ASKED))
