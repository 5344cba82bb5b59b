"""What the gallery asks the image service while somebody looks: progress, and pictures to scale down.

With the connection of the task, and only by ids that the task recorded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from functools import partial
from io import BytesIO

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import fetch
from airflow_provider_gptimg.api.download import download
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.gallery.files import MAX_BYTES, Gone
from airflow_provider_gptimg.hooks.gptimg import GptImgHook

PATIENCE = 2.0
"""Seconds to wait for one's turn: whoever looks on must not hold up those who wait for images."""

FRESH = 4.0
"""Seconds for which an answer serves all who look; the page asks again after as many."""

MAX_KEPT = 2_000
AT_ONCE = 4
"""Calls at a time. A service that hangs must not take the API server's threads away."""

_turns = threading.BoundedSemaphore(AT_ONCE)
_kept: OrderedDict[tuple[str, str], tuple[float, Generation]] = OrderedDict()
_lock = threading.Lock()


def generation_now(conn_id: str, generation_id: str) -> Generation:
    """Return what the service says of a generation, at most some seconds ago.

    :raises Gone: if that is not to be had at once.
    """
    key = (conn_id, generation_id)
    with _lock:
        asked_at, generation = _kept.get(key, (0.0, None))
    if generation is not None and (generation.is_final or time.monotonic() - asked_at < FRESH):
        return generation
    if not _turns.acquire(blocking=False):
        raise Gone("The service is being asked for others.")
    try:
        give_up_at = time.time() + PATIENCE
        generation = GptImgHook(conn_id).run(
            flows.query(generation_id, clock=time.time, give_up_at=give_up_at)
        )
    except Exception as error:
        raise Gone(f"The service cannot be asked ({type(error).__name__}).") from error
    finally:
        _turns.release()
    with _lock:
        _kept[key] = (time.monotonic(), generation)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return generation


def live_picture(conn_id: str, generation_id: str, index: int) -> bytes:
    """Return a picture that only the service has, from the address that the service itself names.

    :raises Gone: if it is not to be had.
    """
    urls = generation_now(conn_id, generation_id).urls
    if index >= len(urls):
        raise Gone("The service has no such picture.")
    settings = GptImgHook(conn_id).settings
    file = _Bounded()
    try:
        download(partial(fetch, settings), urls[index], settings, file)
    except Exception as error:
        raise Gone(f"The picture cannot be fetched ({type(error).__name__}).") from error
    return file.getvalue()


class _Bounded(BytesIO):
    def write(self, content: object) -> int:
        if self.tell() > MAX_BYTES:
            raise Gone("The picture is too large.")
        return super().write(content)  # type: ignore[arg-type]
