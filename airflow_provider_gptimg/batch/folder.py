"""Which batch of a task instance this is: a retry goes on, a Clear of a finished one starts another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.batch.json_lines import write_lines
from airflow_provider_gptimg.compat.task_instance import region_of
from airflow_provider_gptimg.payment.identity import Series

FOLDER = ".gptimg"
"""Below the output path; each task instance has a folder of its own in it."""


@dataclass(frozen=True)
class Record:
    """What is kept of a task instance's batches, in storage.

    :param number: tells the latest batch from those before: the ``base`` of the series of attempts that
        began it, see :class:`~airflow_provider_gptimg.payment.identity.Series`.
    :param trusted: whether this was written before anything was submitted, so that the batch's journal
        knows of everything. Not so after somebody deleted it.
    :param finished_in: the ``base`` of the series that finished the batch, None while it is not finished.
        An unfinished batch is gone on with, also after a Clear: what is paid for is not paid again.
    """

    number: int
    trusted: bool
    finished_in: int | None = None


class BatchFolder:
    """Where a batch keeps its records: which one it is, and its journal.

    :param output_path: where the images go.
    :param ti: the running task instance.
    :param series: of the running attempt.
    :raises ApiError: kind STORAGE, also for a record that is there and cannot be read.
    """

    def __init__(self, output_path: str, ti: Any, conn_id: str, series: Series) -> None:
        self._parts = [ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), conn_id]
        self.stem = stem_of(ti, conn_id)
        self._folder = ObjectStoragePath(output_path) / FOLDER / self.stem
        self._file = self._folder / "batch.json"
        self._base = series.base
        kept = self._read()
        self.record = _latest(kept, series)
        if self.record != kept:
            self._write()

    @property
    def journal(self) -> ObjectStoragePath:
        """The folder of the batch's journal."""
        return self._folder / str(self.record.number)

    @property
    def identity(self) -> str:
        """What tells this batch from all others, hexadecimal."""
        return _digest(*self._parts, str(self.record.number))

    def finish(self) -> None:
        """Note that the batch is finished.

        :raises ApiError: kind STORAGE.
        """
        self.record = replace(self.record, finished_in=self._base)
        self._write()

    def _read(self) -> Record | None:
        try:
            self._file.fs.invalidate_cache()  # of listings, which another process may have made old
            return Record(**json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ApiError(
                Kind.STORAGE,
                f"The batch's record {self._file} cannot be read ({type(error).__name__}: {error}).",
            ) from error

    def _write(self) -> None:
        write_lines(self._file, [json.dumps(asdict(self.record))])


def stem_of(ti: Any, conn_id: str) -> str:
    """Return what the files of a task instance's batches are named by, which no other task's are.

    :param ti: anything with its ``dag_id``, ``run_id``, ``task_id`` and ``map_index``, and in a loop with
        what :func:`~airflow_provider_gptimg.compat.task_instance.region_of` asks for.
    """
    mapped = f"-{ti.map_index}" if ti.map_index >= 0 else ""
    digest = _digest(ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), *region_of(ti), conn_id)
    return f"{ti.task_id}{mapped}-{digest[:12]}"


def _latest(kept: Record | None, series: Series) -> Record:
    if kept is None:
        return Record(series.base, trusted=series.is_fresh)
    if kept.finished_in in (None, series.base):
        return kept
    # More than before, also where the task's ``retries`` were changed, which moves the base.
    return Record(max(series.base, kept.number + 1), trusted=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
