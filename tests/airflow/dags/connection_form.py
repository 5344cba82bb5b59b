"""Uses the connection that tests make in the form of Airflow's pages."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

with DAG("by_operator", schedule=None):
    GptImgGenerateOperator(task_id="image", prompt="A postcard", conn_id="made_in_the_form")

with DAG("by_hook", schedule=None):

    @task
    def image():
        hook = GptImgHook("made_in_the_form")
        made = hook.wait(hook.submit("A stamp").id, poll_interval=0.2)
        return [made.model, hook.balance().usd, hook.settings.timeout]

    image()
