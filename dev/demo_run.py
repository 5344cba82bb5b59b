"""One run of the demo's DAG, followed from outside until its last image."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from PIL import Image

from dev.airflow_run import FINAL_RUN_STATES, DagRun, task_name
from dev.processes import WaitTimeoutError

POLL_SECONDS = 0.5
RUN_SECONDS = 1800.0
"""A run that has not ended by then never will: the scheduler or the service is dead."""

MAX_ERRORS = 20
"""How many requests in a row may fail while Airflow is busy; after that the API server counts as gone."""

FAILED_STATES = frozenset({"failed", "upstream_failed"})
EXPLAINED_STATES = FAILED_STATES | {"up_for_retry"}
LOG_LINES = 12
LOG_NOISE = (
    "::group::",
    "::endgroup::",
    "DAG bundles loaded",
    "Filling up the DagBag",
    "Worker startup parse",
)


class DemoRun:
    """Prints every image of a run as soon as it exists, and explains what failed."""

    def __init__(self, run: DagRun, say: Callable[[str], None]) -> None:
        self._run = run
        self._say = say
        self._started = time.monotonic()
        self._counts = ""
        self._read: set[tuple[str, int]] = set()
        self._printed: set[tuple[str, int]] = set()
        self._explained: set[tuple[str, int, int]] = set()
        self._unreadable = 0

    def follow(self, *, seconds: float = RUN_SECONDS) -> bool:
        """Watch until the run has ended; return whether every image was made.

        :param seconds: the time that the run may take.
        :raises WaitTimeoutError: if it takes longer.
        :raises httpx.HTTPError: if Airflow no longer answers.
        """
        give_up_at, errors = time.monotonic() + seconds, 0
        while True:
            try:
                state, tasks = self._look()
            except httpx.HTTPError as error:
                errors += 1
                if errors >= MAX_ERRORS:
                    raise
                self._say(f"Airflow did not answer ({type(error).__name__}), asking again")
            else:
                errors = 0
                if state in FINAL_RUN_STATES:
                    break
            if time.monotonic() > give_up_at:
                raise WaitTimeoutError(f"the run has not ended in {seconds:g} s")
            time.sleep(POLL_SECONDS)
        self._say(f"The run has ended: {state}, {len(self._printed)} images")
        failed = any(task["state"] in FAILED_STATES for task in tasks)
        return state == "success" and not failed and bool(self._printed) and not self._unreadable

    def _look(self) -> tuple[str, list[dict[str, Any]]]:
        """Print the new images; return the run's state and its tasks."""
        # The state first: if it is final, the tasks that are requested after it are final too.
        state = self._run.state()
        tasks = self._run.tasks()
        self._show_progress(tasks)
        for task in tasks:
            self._show_images(task)
            self._show_failure(task)
        return state, tasks

    def _show_progress(self, tasks: list[dict[str, Any]]) -> None:
        states = Counter(task["state"] or "waiting" for task in tasks)
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        if counts != self._counts:
            self._counts = counts
            self._say(f"tasks: {counts}")

    def _show_images(self, task: dict[str, Any]) -> None:
        key = (task["task_id"], task["map_index"])
        if task["state"] != "success" or key in self._read:
            return
        try:
            result = self._run.task(*key).xcom()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise  # so it is requested again
            result = None  # a task without a result
        self._read.add(key)
        for generation in _generations(result):
            for image in generation["images"]:
                # a later task may hand on the same image
                identity = (str(generation["generation_id"]), int(image["index"]))
                if identity not in self._printed:
                    self._printed.add(identity)
                    self._show_image(image)

    def _show_image(self, image: dict[str, Any]) -> None:
        seconds = time.monotonic() - self._started
        location = image.get("uri") or image["url"]
        try:
            width, height = _size(image)
        except (OSError, httpx.HTTPError) as error:
            self._unreadable += 1
            self._say(f"cannot read the image {location}: {error}")
            return
        print(f"image {location} {width}x{height} {seconds:.1f}s", flush=True)

    def _show_failure(self, task: dict[str, Any]) -> None:
        attempt = (task["task_id"], task["map_index"], task["try_number"])
        if task["state"] not in EXPLAINED_STATES or attempt in self._explained:
            return
        name = task_name(task["task_id"], task["map_index"])
        if task["state"] == "upstream_failed":
            self._explained.add(attempt)
            self._say(f"{name} was not run, because a task before it failed")
            return
        outcome = "failed and will be tried again" if task["state"] == "up_for_retry" else "failed"
        events = self._run.task(task["task_id"], task["map_index"]).log_events(task["try_number"])
        self._explained.add(attempt)
        self._say(f"{name} {outcome}. The end of its log:")
        for line in [line for event in events for line in _brief(event)][-LOG_LINES:]:
            print(f"    {line}", flush=True)


def _generations(result: Any) -> Iterator[dict[str, Any]]:
    """Yield the generation results in an XCom: one dict, or a list of them."""
    for candidate in result if isinstance(result, list) else [result]:
        if isinstance(candidate, dict) and "generation_id" in candidate and candidate.get("images"):
            yield candidate


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """Return width and height, read from the picture itself if it can be fetched from here."""
    location = urlsplit(image.get("uri") or image["url"])
    source: str | io.BytesIO
    if location.scheme == "file":
        source = unquote(location.path)
    elif location.scheme in ("http", "https"):
        response = httpx.get(location.geturl(), timeout=60, follow_redirects=True, trust_env=False)
        source = io.BytesIO(response.raise_for_status().content)
    else:
        return int(image["width"]), int(image["height"])
    with Image.open(source) as picture:
        width, height = picture.size
    return width, height


def _brief(entry: dict[str, Any]) -> Iterator[str]:
    """Yield an event of a task log as short lines: time and text, then its exceptions."""
    event = str(entry["event"])
    if not entry.get("timestamp") or event.startswith(LOG_NOISE):
        return
    yield f"{str(entry['timestamp'])[11:19]} {event}"
    for error in entry.get("error_detail") or []:
        yield f"{error.get('exc_type')}: {error.get('exc_value')}"
