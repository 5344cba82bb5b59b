"""Calls whose answers the waits on one event loop share, so that a thousand triggers ask once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class SharedCalls(Generic[T]):
    """The latest call of each name, per event loop."""

    def __init__(self) -> None:
        self._of_loop: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[T]]]
        ] = WeakKeyDictionary()

    def begin(self, name: str, call: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> asyncio.Task[T]:
        """Return the latest call of a name; begin another if that one failed or began too long ago.

        :param call: begins the call.
        :param seconds: how long others share it, from its beginning.
        """
        loop = asyncio.get_running_loop()
        calls = self._of_loop.setdefault(loop, {})
        until, task = calls.get(name, (0.0, None))
        if task is None or (task.done() and (_has_failed(task) or loop.time() >= until)):
            task = loop.create_task(call())
            calls[name] = (loop.time() + seconds, task)
        return task

    async def answer(self, name: str, call: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return the answer of that call. If it raises, all who wait for it get the exception."""
        # Shielded: it belongs to all, also if one of them is cancelled.
        return await asyncio.shield(self.begin(name, call, seconds))


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
