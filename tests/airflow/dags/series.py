"""DAGs whose tasks are retried and cleared: each task is one story, with a connection of its own."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG
from dags.faulty import FaultyGenerate

SLOW = "[slow]"
ONCE = {"retries": 0}

STORIES = {
    "retried": {"stop_at": "after_post"},
    "cleared_finished": {"stop_at": "after_post", "from_try": 2},
    "cleared_failed": {"stop_at": "after_post"} | ONCE,
    "cleared_deferred": {"prompt": SLOW},
    "cleared_in_triggerer": {"prompt": SLOW, "end_from_trigger": True},
    "cleared_again": {"stop_at": "after_post", "from_try": 2} | ONCE,
    "continued": {"on_clear": "continue"},
    "crashed_handed_on": {"stop_at": "handed_on"},
    "key_mended": {"prompt": SLOW},
    "cleared_running": {"stop_at": "after_look", "deferrable": False},
    "cleared_running_without_retries": {"stop_at": "after_look", "deferrable": False} | ONCE,
    "bystander_unrecorded": {"stop_at": "after_post"},
    "bystander_recorded": {"stop_at": "before_defer"},
    "neighbour_of_unrecorded": {"priority_weight": 9},
    "neighbour_of_recorded": {"priority_weight": 9},
    "changed_prompt": {"stop_at": "after_post", "prompt": "{{ var.value.series_prompt }}"},
    "changed_prompt_cleared": {"prompt": "{{ var.value.series_prompt_cleared }}"},
    "failed_at_service": {"prompt": "[fail]", "retries": 1},
    "expired": {"stop_at": "after_post"},
    "not_durable": {"stop_at": "after_post", "durable": False},
    "seen_late": {"stop_at": "after_post"},
    "ignored": {"stop_at": "after_post"},
    "ignored_but_recorded": {"stop_at": "before_defer"},
}


def generate(task_id, prompt="", **options):
    return FaultyGenerate(
        task_id=task_id, prompt=f"{task_id} {prompt}", conn_id=f"story_{task_id}", poll_interval=1, **options
    )


DEFAULTS = {"retries": 2, "retry_delay": timedelta(seconds=1)}

with DAG("series", schedule=None, default_args=DEFAULTS):
    for name, settings in STORIES.items():
        generate(name, **settings)
    generate("upstream") >> generate("downstream")
    FaultyGenerate.partial(task_id="mapped", conn_id="story_mapped", poll_interval=1).expand(
        prompt=["red", "green", "blue"]
    )

with DAG(
    "series_backfill",
    schedule="@daily",
    start_date=datetime(2020, 1, 1),
    end_date=datetime(2020, 1, 31),  # over: nothing but a backfill makes runs
    catchup=False,
    default_args=DEFAULTS,
):
    generate("backfilled")
