"""The gallery's calls to the image service while somebody looks: progress, and pictures to scale down.

They use the task's connection, and only ids that the task recorded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # Python's own only from 3.11 on
from functools import partial
from io import BytesIO

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.client import fetch
from airflow_provider_gptimg.api.download import download
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.gallery.stored_files import MAX_BYTES, Gone
from airflow_provider_gptimg.hooks.gptimg import GptImgHook

PATIENCE = 2.0
"""Seconds to wait for a turn. A viewer must not hold up tasks that wait for images."""

FRESH = 4.0
"""Seconds for which all viewers share an answer; the page asks again after the same time."""

MAX_KEPT = 2_000
AT_ONCE = 4
"""Maximum calls at a time. A service that hangs must not take the API server's threads away."""

LIVE_SECONDS = 15.0
"""Seconds that a picture from the service may take, including the wait for its turn."""

_fetchers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gptimg-gallery")
_turns = threading.BoundedSemaphore(AT_ONCE)
_kept: OrderedDict[tuple[str, str], tuple[float, Generation]] = OrderedDict()
_lock = threading.Lock()


def generation_now(conn_id: str, generation_id: str, *, patience: float = 0.0) -> Generation:
    """Return a generation as the service described it at most a few seconds ago.

    :param patience: seconds to wait for a turn.
    :raises Gone: if it is not available at once.
    """
    key = (conn_id, generation_id)
    with _lock:
        asked_at, generation = _kept.get(key, (0.0, None))
    if generation is not None and (generation.is_final or time.monotonic() - asked_at < FRESH):
        return generation
    if not _turns.acquire(timeout=patience):
        raise Gone("The service is busy with other requests.")
    try:
        give_up_at = time.time() + PATIENCE
        generation = GptImgHook(conn_id).run(
            flows.query(generation_id, clock=time.time, give_up_at=give_up_at)
        )
    except Exception as error:
        raise Gone(f"The service cannot be queried ({type(error).__name__}).") from error
    finally:
        _turns.release()
    with _lock:
        _kept[key] = (time.monotonic(), generation)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return generation


def live_picture(conn_id: str, generation_id: str, index: int, *, seconds: float = LIVE_SECONDS) -> bytes:
    """Return a picture that only the service has, from the address that the service itself gives.

    :raises Gone: if it is not available, or not within ``seconds``.
    """
    give_up_at = time.monotonic() + seconds
    # A thread that reads cannot be stopped, so it is not one of the API server's.
    fetching = _fetchers.submit(_fetched, conn_id, generation_id, index, give_up_at)
    try:
        return fetching.result(seconds)
    except NotYet:
        fetching.cancel()  # works only if its turn has not come yet
        raise Gone(f"The service did not send the picture in {seconds:g} s.") from None


def _fetched(conn_id: str, generation_id: str, index: int, give_up_at: float) -> bytes:
    urls = generation_now(conn_id, generation_id, patience=PATIENCE).urls
    if index >= len(urls):
        raise Gone("The service has no such picture.")
    file = _Bounded(give_up_at)
    try:
        settings = GptImgHook(conn_id).settings
        download(partial(fetch, settings), urls[index], settings, file)
    except Exception as error:
        raise Gone(f"The picture cannot be fetched ({type(error).__name__}).") from error
    return file.getvalue()


class _Bounded(BytesIO):
    """Accepts a limited number of bytes for a limited time; after that nobody waits for them."""

    def __init__(self, give_up_at: float) -> None:
        super().__init__()
        self._give_up_at = give_up_at

    def write(self, content: object) -> int:
        if self.tell() > MAX_BYTES:
            raise Gone("The picture is too large.")
        if time.monotonic() > self._give_up_at:
            raise Gone("The picture took too long to load.")
        return super().write(content)  # type: ignore[arg-type]
