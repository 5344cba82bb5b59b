"""The data that a worker which defers passes to the one that resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_provider_gptimg.result import Asked

_IN_PROCESS: dict[str, Deferral] = {}
"""By task instance. Before Airflow 3.4, ``dag.test()`` drops the data of a deferral but resumes in the same
process. A worker's process runs only one task, so elsewhere there is never more than one entry."""


@dataclass(frozen=True, kw_only=True)
class Deferral:
    """What a resumed task knows about its first half. Airflow's database keeps it as JSON during the wait.

    :param generation_id: the generation that it waits for.
    :param deadline: until when to wait, in Unix seconds.
    :param try_number: the attempt that deferred. Airflow 3.0 may resume another attempt with it.
    :param asked: the parts of the request that the result repeats.
    :param submitted_at: when it was submitted, in Unix seconds; None if another task submitted it.
    :param digest: the digest of the identity that submitted; None in tasks that only wait.
    :param returned: what a decorated function returned.
    :param cache_key: the images' key in the cache; None without a cache.
    :param ends_in_triggerer: whether the trigger was to end the task.
    """

    generation_id: str
    deadline: float
    try_number: int
    asked: Asked
    submitted_at: float | None = None
    digest: str | None = None
    returned: dict[str, Any] | None = None
    ends_in_triggerer: bool = False
    cache_key: str | None = None

    def as_kwargs(self, ti: Any) -> dict[str, Any]:
        """Return the keyword arguments for ``defer``, and keep them for a resume in this process."""
        _IN_PROCESS[str(ti.id)] = self
        return asdict(self)

    @classmethod
    def read(cls, kwargs: Mapping[str, Any], ti: Any) -> Deferral | None:
        """Return the data with which this attempt deferred. Unknown keys are ignored.

        :param kwargs: the keyword arguments of the resume method.
        :return: None if the data was lost with the trigger, or belongs to another attempt.
        """
        names = {field.name for field in fields(cls)}
        try:
            kept = cls(**{name: value for name, value in kwargs.items() if name in names})
        except TypeError:  # a key is missing
            found = _IN_PROCESS.get(str(ti.id))
            if found is None:
                return None
            kept = found
        return kept if kept.try_number == ti.try_number else None
