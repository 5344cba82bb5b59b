"""Nights that share a cache: an image that is owned is paid for once, whatever is killed, cleared or damaged.

The operator and ``@task.gptimg`` run against the emulator, over a model of each Airflow. Some histories are
told, and many are generated. What must come of them is in ``tests/support/cache_histories.py``.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.airflow_model import VERSIONS, Version
from tests.support.batches import connect, hurry
from tests.support.cache_histories import Event, Harm, History, Kill, play
from tests.support.deaths import Death
from tests.support.nights import make_mortal
from tests.support.untraced import untraced

SCHEDULES = int(os.environ.get("GPTIMG_CACHE_SCHEDULES", "40"))
SEED = int(os.environ.get("GPTIMG_SCHEDULE_SEED", random.SystemRandom().randrange(2**32)))

BROKEN_DOWNLOADS = {"on": "download", "kind": "truncate", "times": 9}
FAULTS: tuple[dict[str, Any] | None, ...] = (
    *[None] * 8,
    {"on": "submit", "kind": "reset_after", "times": 1},
    {"on": "submit", "kind": "status", "status": 503, "times": 1},
    {"on": "status", "kind": "status", "status": 500, "times": 2},
    {"on": "download", "kind": "truncate", "times": 1},
    BROKEN_DOWNLOADS,
)

KILLS = st.one_of(
    st.builds(Kill, st.just(""), st.integers(1, 45), st.booleans()),
    # Where a cache could be left half: a file is written, gets its name, or is replaced by another one.
    st.builds(Kill, st.sampled_from(["put_file", "replace"]), st.integers(1, 8), st.booleans()),
    st.just(Kill("remove", 1, is_late=False)),
)
EVENTS = st.builds(
    Event,
    back=st.sampled_from([0, 0, 1, 1, 1, 2, 3]),
    wish=st.sampled_from([0, 0, 0, 1, 2]),
    is_function=st.sampled_from([False, False, True]),
    stores=st.booleans(),
    is_deferred=st.booleans(),
    loses_trigger=st.sampled_from([False, False, True]),
    clears=st.sampled_from([False, False, True]),
    keeps_state=st.sampled_from([True, True, False]),
    is_late=st.sampled_from([False] * 6 + [True]),
    kill=st.none() | KILLS,
    harm=st.none() | st.builds(Harm, st.booleans(), st.booleans()),
    fault=st.sampled_from(FAULTS),
)
HISTORY = st.builds(
    History,
    version=st.sampled_from(VERSIONS),
    latency=st.sampled_from([0.0, 0.03]),
    events=st.lists(EVENTS, min_size=3, max_size=10),
)

STORIES = {
    "what is whole is taken, with a name of its own or where it lies": [Event(), Event(), Event(stores=True)],
    **{
        f"{'an entry' if to_entry else 'a picture'} that was {'cut' if is_cut else 'deleted'} is a miss": [
            Event(),
            Event(harm=Harm(to_entry, is_cut), kill=Kill("replace", 2, is_late=False)),
            Event(back=1, kill=Kill("put_file", 1, is_late=False)),
            Event(back=1),
        ]
        for to_entry in (False, True)
        for is_cut in (False, True)
    },
    "another prompt is another picture": [Event(wish=1), Event(wish=2), Event(wish=1)],
    "a Clear of what was taken": [Event(), Event(), Event(back=1), Event()],
    "a Clear that dies before the entry that it replaces is removed": [
        Event(),
        Event(back=1, kill=Kill("remove", 1, is_late=False)),
    ],
    "a retry goes on with what was paid, although the cache has another one": [
        Event(fault=BROKEN_DOWNLOADS),
        Event(),
        Event(back=2),
    ],
    "a function that returns another prompt to a retry": [
        Event(is_function=True, fault=BROKEN_DOWNLOADS),
        Event(back=1),
        Event(wish=1),
    ],
    "a function that is asked again because its trigger died": [
        Event(is_function=True, is_deferred=True, loses_trigger=True),
        Event(wish=1),
    ],
    "what was paid again after a day goes before the cache": [
        Event(fault=BROKEN_DOWNLOADS),
        Event(back=1, is_late=True, kill=Kill("_send", 4, is_late=True)),
        Event(),
    ],
    "what was paid again after a day, by a task whose trigger then died": [
        Event(is_deferred=True, kill=Kill("put_file", 1, is_late=False)),
        Event(back=1, loses_trigger=True, is_late=True),
        Event(),
    ],
}


@pytest.fixture
def tell(gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return what plays and checks a history."""
    hurry(monkeypatch)
    monkeypatch.setattr("airflow_provider_gptimg.triggers.base.HoldingTrigger.hold_back", 0.0)
    monkeypatch.setattr("airflow_provider_gptimg.api.flows.MIN_PAUSE", 0.01)
    monkeypatch.setattr("airflow_provider_gptimg.payment.submission.LOOK_UP_PAUSES", (0.0, 0.005))
    connect(monkeypatch, gptimg_emulator, submit_rps=1_000, query_rps=1_000)
    silent = logging.getLogger("gptimg.cache_schedules")
    silent.setLevel(logging.CRITICAL)
    monkeypatch.setattr(GptImgGenerateOperator, "log", silent)
    death = Death()
    make_mortal(monkeypatch, death)

    def tell(history: History, totals: Counter[str]) -> None:
        folder = tmp_path / "history"
        try:
            play(history, gptimg_emulator, folder, death, totals)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return tell


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("story", STORIES)
def test_a_told_history(story: str, version: Version, tell: Callable[..., None]) -> None:
    latency = 0.03 if any(event.is_deferred for event in STORIES[story]) else 0.0
    tell(History(version, latency, STORIES[story]), Counter())


def test_what_is_owned_is_paid_once_whatever_happens(
    tell: Callable[..., None], record_figures: Callable[[str], None]
) -> None:
    totals, began = Counter[str](), time.perf_counter()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=SCHEDULES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(HISTORY)
    def histories(history: History) -> None:
        hypothesis.note(str(history))
        tell(history, totals)

    try:
        with untraced():
            histories()
    finally:
        record_figures(
            f"cache schedules: {totals['histories']:,} in {time.perf_counter() - began:.1f} s (seed {SEED}); "
            f"{totals['attempts']:,} attempts, {totals['killed']:,} killed, {totals['failed']:,} failed, "
            f"{totals['cleared']:,} Clears, {totals['harmed']:,} files harmed; given: {totals['made']:,} "
            f"as paid, {totals['paid']:,} as paid by an earlier attempt, {totals['cached']:,} from the cache"
        )
