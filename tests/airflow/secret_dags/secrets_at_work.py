"""Every way to wait and every way to fail, with connections whose secrets must not show anywhere."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.sensors.generation import GptImgGenerationSensor

FAILING = {
    "refused": {"prompt": "[refuse]"},
    "not_allowed": {"size": "{{ '9:9' }}"},
    "failed": {"prompt": "[fail]"},
    "failed_sync": {"prompt": "[fail]", "deferrable": False},
    "revoked": {},  # 401 to every status query
    "revoked_sync": {"deferrable": False},
    "broken": {},  # 500 to every status query
    "broken_sync": {"deferrable": False},
    "late": {"prompt": "[slow]", "timeout": 3},
    "late_sync": {"prompt": "[slow]", "timeout": 3, "deferrable": False},
    "unknown_key": {"conn_id": "secret_unknown"},
    "unreachable": {"conn_id": "secret_unreachable"},
    "behind_a_proxy": {"conn_id": "secret_proxy"},
    "bad_proxy": {"conn_id": "secret_bad_proxy"},
}
SUCCEEDING = {
    "deferred": {"prompt": "[slow]", "end_from_trigger": False},
    "sync": {"deferrable": False},
    "ended": {},
    "stored": {"conn_id": "secret_stored"},
}

with DAG("secrets_at_work", schedule=None):
    for task_id, options in {**FAILING, **SUCCEEDING}.items():
        prompt = f"{task_id}: {options.pop('prompt', '')}"
        GptImgGenerateOperator(
            **{"task_id": task_id, "prompt": prompt, "conn_id": "secret", "poll_interval": 0.5, **options}
        )
    submitted = GptImgGenerateOperator(
        task_id="submitted", prompt="submitted", conn_id="secret", wait_for_completion=False
    )
    for mode in ("poke", "reschedule", "deferred"):
        how = {"deferrable": True} if mode == "deferred" else {"mode": mode}
        GptImgGenerationSensor(
            task_id=f"sensed_{mode}", generation_id=submitted.output, conn_id="secret", poke_interval=1, **how
        )
