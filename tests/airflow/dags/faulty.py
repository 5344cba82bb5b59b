"""An operator for tests that stops at a named point of its work, once, and waits there to be killed.

It works in Airflow's own task process: a test learns from a file, named by the run's ``faultpoints``
folder, that the point is reached and by which process.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.flows import Send
from airflow_provider_gptimg.files import storage
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

PATIENCE = 300
"""Seconds after which a task that nobody kills fails."""


class FaultyGenerate(GptImgGenerateOperator):
    """The operator, which tells every point it reaches for the first time and stops at one of them.

    The points, in order: ``before_post``, ``after_post``, ``before_defer``, ``before_look``,
    ``after_look``, ``resumed``, ``in_download``, ``handed_on``.

    :param stop_at: the point to stop at.
    :param from_try: attempts before this one neither tell nor stop.
    :param in_iteration: in a task loop, the iteration that tells and stops.
    """

    def __init__(self, *, stop_at=None, from_try=1, in_iteration=None, **kwargs):
        super().__init__(**kwargs)
        self.stop_at = stop_at
        self.from_try = from_try
        self.in_iteration = in_iteration

    @cached_property
    def hook(self):
        return _WatchedHook(self.conn_id, self._reached)

    def execute(self, context):
        self._arm(context)
        return super().execute(context)

    def execute_complete(self, context, event=None, **kept):
        self._arm(context)
        self._reached("resumed")
        return super().execute_complete(context, event, **kept)

    def defer_wait(self, *args, **kwargs):
        self._reached("before_defer")
        super().defer_wait(*args, **kwargs)

    def finish(self, *args, **kwargs):
        with _watched_download(self._reached):
            result = super().finish(*args, **kwargs)
        self._reached("handed_on")
        return result

    def _arm(self, context):
        ti = context["ti"]
        folder = (context["dag_run"].conf or {}).get("faultpoints")
        is_meant = self.in_iteration in (None, getattr(ti, "region_index", None))
        armed = folder is not None and ti.try_number >= self.from_try and is_meant
        self._file = Path(folder) / f"{ti.task_id}.{ti.map_index}" if armed else None

    def _reached(self, point):
        if self._file is None or not _tell(self._file.with_name(f"{self._file.name}.{point}")):
            return
        if point == self.stop_at:
            with self.hook.interruption.reaches() if point.endswith("_look") else nullcontext():
                threading.Event().wait(PATIENCE)
            raise TimeoutError(f"nobody killed this task at {point!r}")


class _WatchedHook(GptImgHook):
    """A hook that tells before and after each request of a flow."""

    def __init__(self, conn_id, reached):
        super().__init__(conn_id)
        self._reached = reached

    def run(self, flow):
        return super().run(_watched(flow, self._reached))


def _watched(flow, reached):
    go_on = partial(next, flow)
    while True:
        try:
            step = go_on()
        except StopIteration as end:
            return end.value
        name = step.request.method.replace("GET", "look").lower() if isinstance(step, Send) else None
        if name:
            reached(f"before_{name}")
        try:
            reply = yield step
        except ApiError as error:
            go_on = partial(flow.throw, error)
        else:
            if name:
                reached(f"after_{name}")
            go_on = partial(flow.send, reply)


@contextmanager
def _watched_download(reached):
    """Tell when the first piece of an image has been written."""

    class Watched:
        def __init__(self, file):
            self._file = file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, chunk):
            self._file.write(chunk)
            self._file.flush()
            reached("in_download")

    download = storage.download
    storage.download = lambda fetch, url, settings, file: download(fetch, url, settings, Watched(file))
    try:
        yield
    finally:
        storage.download = download


def _tell(file):
    """Write this process's id into a new file in one step; False where the file is there already."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(str(os.getpid()))
    try:
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
