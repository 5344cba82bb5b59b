"""A DAG without the provider: shows that the harness sees deferral, mapping and XCom."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, task


class DeferOnce(BaseOperator):
    """Defers for some seconds and returns the moment that the trigger reports."""

    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=3)), method_name="resume")

    def resume(self, context, event=None):
        return {"moment": str(event)}


with DAG("plain", schedule=None):

    @task
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task
    def double(number: int) -> int:
        print(f"doubling {number}")
        return 2 * number

    @task
    def total(values) -> int:
        return sum(values)

    total(double.expand(number=numbers())) << DeferOnce(task_id="defer_once")
