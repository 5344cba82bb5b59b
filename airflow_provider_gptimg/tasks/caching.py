"""Images that a task already owns. It looks for them before it pays, and adds new ones after it has paid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.compat.task_instance import task_instance
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.cache import Cache, key_of
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.files.storage import check_folder
from airflow_provider_gptimg.result import Asked, MadeBy, Result

NEW = "not made before"
"""Why an image is not taken from the cache, if no other reason is known."""


def cache_of(cache_path: Any, max_age: timedelta | None) -> Cache | None:
    """Return a task's cache, None if it has none.

    :raises GptImgValidationError: for a path that cannot be opened.
    """
    if cache_path is None:
        return None
    with translated():
        folder = check_folder(cache_path, "cache_path")
    return Cache(folder, None if max_age is None else max_age.total_seconds())


def made_by(context: Any) -> MadeBy:
    """Return the task that makes the images of this attempt."""
    ti = task_instance(context)
    return MadeBy(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)


@dataclass
class Owned:
    """What a cache has for one request.

    :param folder: where to store the images; None leaves them in the cache.
    :param names: their names there.
    :param result: the result that was taken, after :meth:`take` has returned True.
    """

    cache: Cache
    request: GenerationRequest
    asked: Asked
    folder: Place | None
    names: FileNames
    log: Any
    result: Result | None = None

    def take(self) -> bool:
        """Take the images if they are there; if not, log why.

        :raises ApiError: kind STORAGE. What cannot be read never counts as missing.
        """
        key = key_of(self.request)
        if key is None:
            return False
        found = self.cache.find([key])
        if entry := found.entries.get(key):
            self.result = entry.take(self.asked, self.folder, self.names)
        if self.result is None:
            why = self.cache.why_not(found, self.request, self.folder, self.names) or NEW
            self.log.info("Not in the cache %s: %s.", self.cache.folder, why)
        return self.result is not None
