"""DAGs whose tasks die: each task is one story of the crash matrix, with a connection of its own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from dags.faulty import FaultyGenerate

SLOW = "[slow]"
STORED = "file://{{ dag_run.conf['faultpoints'] }}/stored"
CACHE = "file://{{ dag_run.conf['faultpoints'] }}/cache"

WORKERS = {
    "before_post": {"stop_at": "before_post"},
    "in_post": {},
    "after_post": {"stop_at": "after_post"},
    "before_defer": {"stop_at": "before_defer"},
    "resumed": {"stop_at": "resumed"},
    "handed_on": {"stop_at": "handed_on"},
    "in_download": {"stop_at": "in_download", "output_path": STORED},
    "into_cache": {"stop_at": "in_download", "cache_path": f"{CACHE}/1"},
    "before_entry": {"stop_at": "before_entry", "cache_path": f"{CACHE}/2", "output_path": STORED},
    "after_entry": {"stop_at": "handed_on", "cache_path": f"{CACHE}/3", "output_path": STORED},
    "sync_wait": {"stop_at": "after_look", "deferrable": False, "prompt": SLOW},
    "machine_lost": {"stop_at": "after_post"},
}
TRIGGERER = {
    "triggerer_dies": {"prompt": SLOW},
    "triggerer_dies_ending": {"prompt": SLOW, "end_from_trigger": True},
    "before_xcoms": {"stop_at": "before_xcoms", "end_from_trigger": True},
    "between_xcoms": {"stop_at": "between_xcoms", "end_from_trigger": True},
    "after_xcoms": {"stop_at": "after_xcoms", "end_from_trigger": True},
}
TWO_TRIGGERERS = {"one_of_two_dies": {"prompt": SLOW}}
SCHEDULER = {
    "scheduler_dies_deferred": {"prompt": SLOW},
    "scheduler_dies_in_post": {},
    "scheduler_dies_in_post_without_retries": {"retries": 0},
}

for dag_id, stories in {
    "crash_workers": WORKERS,
    "crash_triggerer": TRIGGERER,
    "crash_two_triggerers": TWO_TRIGGERERS,
    "crash_scheduler": SCHEDULER,
}.items():
    with DAG(dag_id, schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
        for task_id, options in stories.items():
            prompt = f"{task_id}. {options.pop('prompt', '')}"
            FaultyGenerate(
                task_id=task_id, prompt=prompt, conn_id=f"story_{task_id}", poll_interval=1, **options
            )
