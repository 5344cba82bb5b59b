"""The environment of a private Airflow: its directory, its ports, and how quickly it reacts."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "localhost,127.0.0.1,::1"

HEARTBEAT_SECONDS = 2
"""Seconds between a running task's heartbeats. A heartbeat tells the task about a Clear."""

EAGER = {
    # The defaults suit thousands of DAGs on many machines; one small DAG should not wait for them.
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.4",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    # A changed file is still parsed at once. The default, every 30 s, takes a third of a core for 27 files.
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "CORE__DEFAULT_TASK_RETRY_DELAY": "3",
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    # How soon the death of a component or worker is noticed.
    "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    # The first answer of an API server is slow on a busy machine; tasks give up after five waits of 5 s.
    "WORKERS__EXECUTION_API_TIMEOUT": "30",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": str(HEARTBEAT_SECONDS),
    # A task that ignores its termination must be gone before its heartbeat is missed. From Airflow 3.4 on it
    # gets a minute by default, and then its missed heartbeat ends the scheduler's loop.
    "CORE__KILLED_TASK_CLEANUP_TIME": "5",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}

PATIENT = {
    # For measurements: no process is declared dead because it is slow.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "120",
}

PRIVATE = {
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # no login: it listens on this machine only
    "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS, which may be slow or absent
    "API__HOST": "127.0.0.1",
    "LOGGING__COLORED_CONSOLE_LOG": "False",
    "USAGE_DATA_COLLECTION__ENABLED": "False",
}


def fernet_key() -> str:
    """Return a fresh key for Airflow's encrypted columns."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def inherited_environment() -> dict[str, str]:
    """Return this process's environment without Airflow settings, and with no proxy for loopback."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    # Airflow starts itself as `airflow`, so the environment's own programs must be found first.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), LOOPBACK]))
    env["PYTHONUNBUFFERED"] = "1"
    return env


def airflow_environment(
    home: Path,
    dags_folder: Path,
    port: int,
    *,
    database_url: str | None = None,
    parallelism: int = 4,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    extra_env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment that every process of one private Airflow shares."""
    settings = {
        **EAGER,
        **PRIVATE,
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__PARALLELISM": str(parallelism),
        "CORE__FERNET_KEY": fernet_key(),
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        # Airflow 3.0.0 does not derive it.
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__SECRET_KEY": secrets.token_hex(16),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "DATABASE__SQL_ALCHEMY_CONN": database_url or f"sqlite:///{home / 'airflow.db'}",
    }
    env = inherited_environment()
    env.update({f"AIRFLOW__{name}": value for name, value in settings.items()})
    env["AIRFLOW_HOME"] = str(home)
    for conn_id, connection in (connections or {}).items():
        env[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    env.update(extra_env or {})
    return env
