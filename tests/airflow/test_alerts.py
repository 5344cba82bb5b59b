"""Airflow's own alerts: a failure callback and a deadline, each with Airflow's e-mail notifier."""

from __future__ import annotations

import json

import pytest

from dev.processes import wait_until
from tests.support.mail_server import MailServer, text_of

EXAMPLE = "example_gptimg_alerts"


@pytest.fixture
def mail(airflow_stack):
    with MailServer() as server:
        connection = {
            "connection_id": "smtp_default",
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.port,
            "extra": json.dumps({"disable_ssl": True, "disable_tls": True}),
        }
        airflow_stack.api.request("POST", "/connections", json=connection)
        yield server
        airflow_stack.api.request("DELETE", "/connections/smtp_default")


def received(mail, api):
    return wait_until(lambda: list(mail.messages), 90, lambda: f"no mail\n{api.evidence()}", interval=0.3)


def test_a_failed_image_is_told_with_reason_cost_and_link(airflow_stack, emulator, mail):
    emulator.configure(latency_median=0.5)
    emulator.faults([{"on": "submit", "kind": "status", "status": 402, "times": 1}])
    run = airflow_stack.api.start_dag(EXAMPLE)
    assert run.wait(120) == "failed", run.describe()
    (message,) = received(mail, airflow_stack.api)
    assert message["subject"] == f"No picture: cover of {run.run_id}"
    body = text_of(message)
    assert f"{EXAMPLE} / cover failed: quota" in body
    assert "Generation none" in body
    assert "not known" in body
    assert f"{airflow_stack.base_url}/dags/{EXAMPLE}/runs/" in body


def test_a_failed_generation_is_named_with_what_it_cost(airflow_stack, emulator, mail, write_dag):
    write_dag(
        "refunded",
        """
        from airflow.sdk import DAG
        from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
        from example_dags.example_gptimg_alerts import tell_the_team

        with DAG("refunded", schedule=None):
            GptImgGenerateOperator(task_id="cover", prompt="[fail]", on_failure_callback=tell_the_team)
        """,
    )
    run = airflow_stack.api.start_dag("refunded")
    assert run.wait(120) == "failed", run.describe()
    (message,) = received(mail, airflow_stack.api)
    (submission,) = emulator.ledger()["submissions"]
    body = " ".join(text_of(message).split())
    assert f"Generation {submission['id']}, cost 0.0 USD" in body


def test_a_deadline_is_told_while_the_task_is_deferred(airflow_stack, emulator, mail, write_dag):
    pytest.importorskip("airflow.sdk.definitions.deadline", reason="Airflow has deadlines from 3.1 on")
    write_dag(
        "late",
        """
        from datetime import timedelta
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier
        from airflow.sdk import DAG
        from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference
        from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

        late = DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(seconds=5),
            callback=AsyncCallback(
                SmtpNotifier,
                kwargs={
                    "from_email": "airflow@example.com",
                    "to": "pictures@example.com",
                    "subject": "{{ dag_run.dag_id }} is late",
                    "html_content": "{{ dag_run.run_id }} is not done",
                },
            ),
        )
        with DAG("late", schedule=None, deadline=late):
            GptImgGenerateOperator(task_id="cover", prompt="[slow]")
        """,
    )
    run = airflow_stack.api.start_dag("late")
    (message,) = received(mail, airflow_stack.api)
    assert run.task("cover").details()["state"] == "deferred"
    assert message["subject"] == "late is late"
    assert run.wait(120) == "success", run.describe()
