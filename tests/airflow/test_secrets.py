"""The key and the proxy's password show up nowhere: not in logs at DEBUG, not in the metadata database."""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_env import fernet_key
from dev.airflow_run import FINAL_RUN_STATES, DagRun
from dev.emulator import EmulatorProcess
from dev.processes import free_port, wait_until
from dev.stack import COMPONENTS, AirflowStack

DAG_ID = "secrets_at_work"
FAILING = {
    "refused": "422",
    "not_allowed": "9:9",
    "failed": "could not make the image",
    "failed_sync": "could not make the image",
    "revoked": "401",
    "revoked_sync": "401",
    "broken": "6 status queries in a row failed",
    "broken_sync": "6 status queries in a row failed",
    "late": "accepted and billed",
    "late_sync": "accepted and billed",
    "unknown_key": "401",
    "unreachable": "ConnectError",
    "behind_a_proxy": "ConnectError",
    "bad_proxy": "proxy=",
}
SUCCEEDING = {"deferred", "sync", "ended", "stored", "submitted"}
SUCCEEDING |= {f"sensed_{mode}" for mode in ("poke", "reschedule", "deferred")}


@dataclass
class Secrets:
    """What must not show: an API key for each connection, and a proxy's password."""

    key: str = field(default_factory=lambda: f"sk-marker-{secrets.token_hex(8)}")
    unknown: str = field(default_factory=lambda: f"sk-invalid-marker-{secrets.token_hex(8)}")
    stored: str = field(default_factory=lambda: f"sk-marker-{secrets.token_hex(8)}")
    proxy: str = field(default_factory=lambda: f"marker-{secrets.token_hex(8)}")

    def forms(self) -> list[bytes]:
        """Return every form in which one of them may show."""
        plain = [self.key, self.unknown, self.stored, self.proxy]
        hidden = [text.encode() for text in (*plain, f"me:{self.proxy}")]
        return [*hidden, *(base64.b64encode(secret).rstrip(b"=") for secret in hidden)]

    def connections(self, service: str) -> dict[str, dict[str, object]]:
        """Return the connections that come as environment variables."""
        nowhere = f"127.0.0.1:{free_port()}"
        ours = {"conn_type": "gptimg", "host": service, "password": self.key}
        via = {"host": "https://service.invalid", "password": self.key}
        return {
            "secret": ours,
            "secret_unknown": {**ours, "password": self.unknown},
            "secret_unreachable": {**ours, "host": f"http://{nowhere}"},
            "secret_proxy": {**ours, **via, "extra": {"proxy": f"http://me:{self.proxy}@{nowhere}"}},
            "secret_bad_proxy": {**ours, "extra": {"proxy": f"ftp://me:{self.proxy}@{nowhere}"}},
        }


class Database:
    """Everything that the metadata database holds and has held, with encrypted columns in plain text."""

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._fernet = Fernet(key)
        self.seen: dict[str, set[bytes]] = defaultdict(set)

    def look(self, *tables: str) -> None:
        """Take down what is in these tables now, or in all of them."""
        with sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=30) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for table in tables or [name for (name,) in names]:
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    self.seen[table] |= set(map(self._plain, row))
        database.close()

    def _plain(self, value: object) -> bytes:
        content = value if isinstance(value, bytes) else str(value).encode()
        token = content.strip(b'"')
        return self._fernet.decrypt(token) if token.startswith(b"gAAAA") else content


@dataclass
class Played:
    """What is left of the run."""

    home: Path
    run: DagRun
    logs: dict[str, str]
    database: Database
    secrets: Secrets


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A run in an Airflow of its own, that logs at DEBUG."""
    home, hidden, key = tmp_path_factory.mktemp("secrets"), Secrets(), fernet_key()
    options = ["--latency-median", "4", "--latency-sigma", "0.1", "--rate-limit", "off"]
    with EmulatorProcess(tmp_path_factory.mktemp("emulator") / "emulator.log", *options) as emulator:
        Remote(emulator.url).faults(
            [
                {"on": "status", "kind": "status", "status": 401, "match": "revoked"},
                {"on": "status", "kind": "status", "status": 500, "match": "broken"},
            ]
        )
        stack = AirflowStack(
            home,
            Path(__file__).with_name("secret_dags"),
            connections=hidden.connections(emulator.url),
            extra_env={"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", "AIRFLOW__CORE__FERNET_KEY": key},
        )
        with stack:
            stored = {"connection_id": "secret_stored", "conn_type": "gptimg", "host": emulator.url}
            stack.api.request("POST", "/connections", json={**stored, "password": hidden.stored})
            database = Database(home / "airflow.db", key)
            run = stack.api.start_dag(DAG_ID)

            def over() -> bool:
                database.look("trigger", "task_instance", "xcom")
                return run.state() in FINAL_RUN_STATES

            wait_until(over, 120, run.describe, interval=0.5)
            database.look()
            logs = {task_id: run.task(task_id).log() for task_id in (*FAILING, *SUCCEEDING)}
            yield Played(home, run, logs, database, hidden)


def test_everything_went_as_planned(played: Played) -> None:
    """Otherwise there would be nothing to find."""
    states = played.run.states()
    assert {task for task, state in states.items() if state == "success"} == SUCCEEDING
    assert {task for task, state in states.items() if state == "failed"} == set(FAILING)
    for task, says in FAILING.items():
        assert says in played.logs[task], f"{task}:\n{played.logs[task]}"


def test_no_secret_is_in_any_file(played: Played) -> None:
    """Logs of tasks, triggers and components, and the database as it lies on the disk."""
    contents = {path: path.read_bytes() for path in played.home.rglob("*") if path.is_file()}
    names = {path.name for path in contents}
    assert {f"{component}.log" for component in COMPONENTS} | {"airflow.db"} <= names
    of_triggers = [path for path in contents if path.name.endswith(".log") and ".trigger." in path.name]
    assert len(of_triggers) >= 6
    assert sum(b'"debug"' in content for content in contents.values()) >= len(FAILING)
    leaks = [
        (str(path.relative_to(played.home)), form.decode())
        for path, content in contents.items()
        for form in played.secrets.forms()
        if form in content
    ]
    assert not leaks


def test_no_secret_is_in_any_table(played: Played) -> None:
    """Also not in what was there only while the tasks waited, nor in what is encrypted."""
    seen = played.database.seen
    assert any(b'"generation_id"' in value for value in seen["trigger"]), "decrypted arguments of triggers"
    assert any(b"submissions" in value and b"deadline" in value for value in seen["task_instance"])
    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag", "log", "task_state_store"):
        assert seen[table], table
    assert played.secrets.stored.encode() in seen.pop("connection"), "the one place for it"
    leaks = [
        (table, form.decode(), value[:300])
        for table, values in seen.items()
        for value in values
        for form in played.secrets.forms()
        if form in value
    ]
    assert not leaks


def test_no_secret_is_shown_by_the_api(played: Played) -> None:
    shown = "".join(played.logs.values())
    for path in ("/taskInstances?limit=100", ""):
        shown += json.dumps(played.run.api.request("GET", f"{played.run.path}{path}"))
    shown += json.dumps(played.run.api.request("GET", "/eventLogs?limit=100"))
    assert "submitted" in shown
    assert not [form for form in played.secrets.forms() if form.decode() in shown]
