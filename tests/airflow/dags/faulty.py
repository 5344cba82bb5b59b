"""An operator for tests that stops at a named point of its work, once, and waits there to be killed.

It works in Airflow's own task process: a test learns from a file, named by the run's ``faultpoints``
folder, that the point is reached and by which process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cached_property, partial
from pathlib import Path

from airflow.sdk.execution_time.xcom import XCom

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.flows import Send
from airflow_provider_gptimg.files import storage
from airflow_provider_gptimg.files.cache import Slot
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

POINTS_OF_THE_TRIGGER = ("before_xcoms", "between_xcoms", "after_xcoms")

PATIENCE = 300
"""Seconds after which a task that nobody kills fails."""


class FaultyGenerate(GptImgGenerateOperator):
    """The operator, which tells every point it reaches for the first time and stops at one of them.

    The points, in order: ``before_post``, ``after_post``, ``before_defer``, ``before_look``,
    ``after_look``, ``resumed``, ``in_download``, ``before_entry``, ``handed_on``. In the triggerer:
    ``before_xcoms``, ``between_xcoms``, ``after_xcoms``.

    :param stop_at: the point to stop at.
    :param from_try: attempts before this one neither tell nor stop.
    :param in_iteration: in a task loop, the iteration that tells and stops.
    """

    def __init__(self, *, stop_at=None, from_try=1, in_iteration=None, end_from_trigger=False, **kwargs):
        # Most of the points lie on the worker that is resumed.
        super().__init__(end_from_trigger=end_from_trigger, **kwargs)
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

    def defer(self, *, trigger, **how):
        if self._file is not None and self.stop_at in POINTS_OF_THE_TRIGGER:
            file = self._file.with_name(f"{self._file.name}.{self.stop_at}")
            trigger = FaultyTrigger(file=str(file), stop_at=self.stop_at, **trigger.serialize()[1])
        super().defer(trigger=trigger, **how)

    def finish(self, *args, **kwargs):
        with _watched_download(self._reached), _watched_entry(self._reached):
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


class FaultyTrigger(GptImgGenerationTrigger):
    """The trigger, which stops before, between or after the XComs of its task, once.

    :param file: where it tells that it has got there.
    """

    def __init__(self, *, file, stop_at, **kwargs):
        super().__init__(**kwargs)
        self.file = file
        self.stop_at = stop_at

    def serialize(self):
        path, kwargs = super().serialize()
        return path, {**kwargs, "file": self.file, "stop_at": self.stop_at}

    async def run(self):
        _ACTING.set(self)
        if XCom.aset is not _watched_aset:
            _watched_aset.original, XCom.aset = XCom.aset, _watched_aset
        async for event in super().run():
            yield event

    async def reached(self, point):
        if point == self.stop_at and _tell(Path(self.file)):
            await asyncio.sleep(PATIENCE)
            raise TimeoutError(f"nobody killed this trigger at {point!r}")


_ACTING = ContextVar("the trigger that pushes an XCom", default=None)


async def _watched_aset(**what):
    """Push an XCom, telling the trigger before and after it."""
    trigger = _ACTING.get()
    if trigger:
        await trigger.reached("before_xcoms" if what["key"] == "urls" else "between_xcoms")
    await _watched_aset.original(**what)
    if trigger and what["key"] == XCom.XCOM_RETURN_KEY:
        await trigger.reached("after_xcoms")


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


@contextmanager
def _watched_entry(reached):
    """Tell when the images are in the cache, before their entry is."""
    complete = Slot.complete

    def watched(slot, *args):
        reached("before_entry")
        return complete(slot, *args)

    Slot.complete = watched
    try:
        yield
    finally:
        Slot.complete = complete


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
