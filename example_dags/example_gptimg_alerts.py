"""Tell people that an image failed: why, what it cost, and where to look. Airflow's own notifier does it."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

# [START howto_failure_callback]
# `exception` has more than its text. Attributes that another exception lacks are left empty.
MESSAGE = """
<p>{{ ti.dag_id }} / {{ ti.task_id }} failed: {{ exception.reason or "see below" }}</p>
<p>{{ exception | string | e }}</p>
<p>Generation {{ exception.generation_id or "none" }},
cost {{ "not known" if exception.cost_usd is none else exception.cost_usd }} USD.</p>
<p><a href="{{ exception.images_url or ti.log_url }}">Pictures</a> · <a href="{{ ti.log_url }}">Log</a></p>
"""

tell_the_team = SmtpNotifier(
    from_email="airflow@example.com",
    to="pictures@example.com",
    subject="No picture: {{ ti.task_id }} of {{ ti.run_id }}",
    html_content=MESSAGE,
)
# [END howto_failure_callback]

with DAG("example_gptimg_alerts", schedule=None, catchup=False, tags=["gptimg"]):
    GptImgGenerateOperator(
        task_id="cover",
        prompt="a lighthouse in a storm",
        retries=1,
        retry_delay=timedelta(seconds=10),
        on_failure_callback=tell_the_team,  # after the last try; on_retry_callback is told of the others
    )
