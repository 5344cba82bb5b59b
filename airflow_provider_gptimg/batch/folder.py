"""Identifies the current batch of a task instance, and finds its records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.batch.json_lines import write_lines
from airflow_provider_gptimg.compat.task_instance import place_of
from airflow_provider_gptimg.files.names import shortened
from airflow_provider_gptimg.files.place import MAX_NAME_BYTES, Place
from airflow_provider_gptimg.payment.attempt import TaskFacts
from airflow_provider_gptimg.payment.decision import OnClear

FOLDER = ".gptimg"
"""The name of a folder below the output path. Each task instance has its own folder in it."""


@dataclass(frozen=True)
class Record:
    """The stored record of a task instance's batches.

    :param number: the number of the latest batch.
    :param trusted: whether this was written before anything was submitted, so that the batch's journal is
        complete. False after somebody deleted it.
    :param finished_in: the ``base`` of the attempt that finished the batch, see
        :class:`~airflow_provider_gptimg.payment.decision.Facts`; None until it is finished.
    """

    number: int
    trusted: bool
    finished_in: int | None = None


class BatchFolder:
    """The folder where a batch keeps its records: its identity and its journal.

    :param output_path: where the images are stored.
    :param task: Airflow's facts about the running attempt.
    :param on_clear: whether a Clear after success makes all images again.
    :raises ApiError: kind STORAGE, also if there is a record that cannot be read.
    """

    def __init__(
        self, output_path: str | Place, ti: Any, conn_id: str, task: TaskFacts, on_clear: OnClear
    ) -> None:
        self._parts = [*task.place, conn_id]
        self.stem = stem_of(ti, conn_id)
        self._folder = Place.of(output_path) / FOLDER / self.stem
        self._file = self._folder / "batch.json"
        self._base = task.base
        kept = self._read()
        self.record = _latest(kept, task, on_clear)
        if self.record != kept:
            self._write()

    @property
    def journal(self) -> Place:
        """The folder of the batch's journal."""
        return self._folder / str(self.record.number)

    @property
    def identity(self) -> str:
        """The unique identity of this batch, hexadecimal."""
        return _digest(*self._parts, str(self.record.number))

    def finish(self) -> None:
        """Note that the batch is finished.

        :raises ApiError: kind STORAGE.
        """
        self.record = replace(self.record, finished_in=self._base)
        self._write()

    def _read(self) -> Record | None:
        try:
            return Record(**json.loads(self._file.read()))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ApiError(
                Kind.STORAGE,
                f"The batch's record {self._file} cannot be read ({type(error).__name__}: {error}). A batch "
                "needs the rights to list, read and write below output_path.",
            ) from error

    def _write(self) -> None:
        write_lines(self._file, [json.dumps(asdict(self.record))])


def stem_of(ti: Any, conn_id: str) -> str:
    """Return the stem of the file names of a task instance's batches, unique to the task instance.

    :param ti: anything with its ``dag_id``, ``run_id``, ``task_id`` and ``map_index``, and its region in a
        loop.
    """
    mapped = f"-{ti.map_index}" if ti.map_index >= 0 else ""
    ending = f"{mapped}-{_digest(*place_of(ti), conn_id)[:12]}"
    return shortened(ti.task_id, MAX_NAME_BYTES - len(f"{ending}.jsonl")) + ending


def _latest(kept: Record | None, task: TaskFacts, on_clear: OnClear) -> Record:
    """Return the record of the batch to work on: the stored one, or a new one after a Clear."""
    if kept is None:
        is_first = task.try_number == 1 and not task.xcom_keys
        return Record(task.base if on_clear == "new" else 0, trusted=is_first)
    was_cleared_after_success = kept.finished_in not in (None, task.base)
    if on_clear == "new" and was_cleared_after_success:
        # It must grow, even if a change of the task's ``retries`` has moved the base.
        return Record(max(task.base, kept.number + 1), trusted=True)
    return kept


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
