"""``--state FILE``: the emulator's whole state, in an SQLite database that survives a kill."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_gptimg.emulator.ledger import Entry
from airflow_provider_gptimg.emulator.submission import Submission
from airflow_provider_gptimg.emulator.tasks import Task
from airflow_provider_gptimg.emulator.uploads import Upload

_APPLICATION = 0x67707469
"""SQLite's application id: whose file it is."""

_VERSION = 1

_SCHEMA = """
CREATE TABLE tasks (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
                    billed INTEGER NOT NULL, refunded INTEGER NOT NULL, polls INTEGER NOT NULL);
CREATE TABLE uploads (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, mime_type TEXT NOT NULL,
                      expires_at REAL NOT NULL, content BLOB NOT NULL);
CREATE TABLE account (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class StateFileError(Exception):
    """The file cannot hold the emulator's state; the text says why."""


@dataclass
class Changes:
    """What has happened since the last write."""

    everything: bool = False
    """The content of the file is void, because the emulator was reset."""
    tasks: set[str] = field(default_factory=set)
    forgotten_tasks: set[str] = field(default_factory=set)
    uploads: list[Upload] = field(default_factory=list)
    forgotten_uploads: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Saved:
    """The content of a file."""

    account: dict[str, Any]
    """Empty in a new file."""
    tasks: list[tuple[Task, Entry]]
    uploads: list[Upload]


class StateFile:
    """The open file. One emulator at a time uses it.

    :param path: The file's path. The file may be new, but its folder must exist.
    :raises StateFileError: if it cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._written: dict[str, Any] = {}
        if not self._path.parent.is_dir():
            raise self._error("its folder does not exist")
        try:
            # The server's thread is not always the one that opened the file, but only one uses it at a time.
            self._database = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._error(str(error)) from None
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self.close()
            busy = "locked" in str(error)
            raise self._error("another emulator uses it" if busy else str(error)) from None
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._error(str(error)) from None
        except StateFileError:
            self.close()
            raise

    def load(self) -> Saved:
        """Return the content of the file.

        :raises StateFileError: if it is damaged.
        """
        try:
            return self._read()
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise self._error(f"it is damaged ({error})") from None

    def _read(self) -> Saved:
        query = self._database.execute
        account = {name: json.loads(value) for name, value in query("SELECT name, value FROM account")}
        tasks = query("SELECT task, billed, refunded, polls FROM tasks ORDER BY number")
        uploads = query("SELECT name, mime_type, content, expires_at FROM uploads ORDER BY number")
        self._written = dict(account)
        return Saved(
            account,
            [(_task_of(text), Entry(*numbers)) for text, *numbers in tasks],
            [Upload(*columns) for columns in uploads],
        )

    def write(self, changes: Changes, tasks: Iterable[tuple[Task, Entry]], account: dict[str, Any]) -> None:
        """Write all of ``changes``, or nothing.

        :param tasks: The tasks that ``changes`` names, as they are now.
        :param account: Everything else, by name; JSON values.
        """
        news = {name: value for name, value in account.items() if self._written.get(name) != value}
        if not (news or changes != Changes()):
            return
        run, run_many = self._database.execute, self._database.executemany
        run("BEGIN IMMEDIATE")
        try:
            if changes.everything:
                for table in ("tasks", "uploads"):
                    run(f"DELETE FROM {table}")  # noqa: S608 - one of two names
            run_many("DELETE FROM tasks WHERE id = ?", [(name,) for name in changes.forgotten_tasks])
            run_many("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?)", map(_row_of, tasks))
            run_many(
                "INSERT INTO uploads (name, mime_type, expires_at, content) VALUES (?, ?, ?, ?)",
                [(one.name, one.mime_type, one.expires_at, one.content) for one in changes.uploads],
            )
            run_many("DELETE FROM uploads WHERE name = ?", [(name,) for name in changes.forgotten_uploads])
            run_many(
                "INSERT OR REPLACE INTO account VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in news.items()],
            )
            run("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                run("ROLLBACK")
            raise
        self._written.update(news)

    def close(self) -> None:
        """Close the file. It is complete even without this."""
        self._database.close()

    def _prepare(self) -> None:
        query = self._database.execute
        query("PRAGMA locking_mode = EXCLUSIVE")
        application, version = (query(f"PRAGMA {name}").fetchone()[0] for name in _MARKS)
        is_new = not query("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new and application != _APPLICATION:
            raise self._error("it is a database of another program")
        if version > _VERSION:
            raise self._error("a newer version of the emulator wrote it")
        # A write-ahead log: after a kill in the middle the previous state is left. No write waits for the
        # disk.
        query("PRAGMA journal_mode = WAL")
        query("PRAGMA synchronous = NORMAL")
        query("BEGIN IMMEDIATE")
        if is_new:
            for statement in _SCHEMA.split(";"):
                query(statement)
            query(f"PRAGMA application_id = {_APPLICATION}")
            query(f"PRAGMA user_version = {_VERSION}")
        query("COMMIT")

    def _error(self, why: str) -> StateFileError:
        return StateFileError(f"cannot keep the state in {self._path}: {why}")


_MARKS = ("application_id", "user_version")


def _row_of(pair: tuple[Task, Entry]) -> tuple[int, str, str, int, int, int]:
    task, entry = pair
    return task.number, task.id, json.dumps(asdict(task)), entry.billed, entry.refunded, entry.polls


def _task_of(text: str) -> Task:
    values = json.loads(text)
    asked = values.pop("submission")
    width, height = asked.pop("pixels")
    references = tuple(asked.pop("reference_images"))
    return Task(submission=Submission(**asked, pixels=(width, height), reference_images=references), **values)
