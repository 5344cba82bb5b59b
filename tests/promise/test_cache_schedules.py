"""Generated histories of nights that share a cache: kills at any step, retries, Clears, and damaged files.

They run the operator and ``@task.gptimg`` themselves against the emulator, over a model of each Airflow. What
must come of each attempt is said before it, by what lies in the cache and what its series has paid for:

- A series that has paid goes on with that, whatever the cache has.
- The first series of a run takes what is whole in the cache, and pays nothing.
- Whatever else is missing, damaged or wanted after a Clear is paid for once, and takes the entry's place.

After each attempt, killed or not, all entries are whole and hold what they are called. What a Clear means to
attempts that cannot know what was before them is in ``test_fault_schedules.py``, and does not happen here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import hypothesis
import pendulum
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.emulator.fault_middleware import RESULT_FILES
from airflow_provider_gptimg.exceptions import GptImgError
from airflow_provider_gptimg.files.cache import key_of, own_key
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.airflow_model import VERSIONS, Version
from tests.support.batches import connect, hurry
from tests.support.deaths import Death, Killed
from tests.support.nights import MODEL, SIZE, Night, Wish, forget, make_mortal

SCHEDULES = int(os.environ.get("GPTIMG_CACHE_SCHEDULES", "100"))
SEED = int(os.environ.get("GPTIMG_SCHEDULE_SEED", random.SystemRandom().randrange(2**32)))

WISHES = (Wish("A fox", 2), Wish("A hen", 1), Wish("A cup", 1))
PRICE = 0.03
SEEDS = 6
"""Pictures that the emulator paints of one prompt: an image that is made again is another one."""

END_OF_PNG = b"IEND\xaeB`\x82"
SAYS_FIRST = 4
"""The step at which an attempt has surely said which series it belongs to."""

FAULTS: tuple[dict[str, Any] | None, ...] = (
    *[None] * 8,
    {"on": "submit", "kind": "reset_after", "times": 1},
    {"on": "submit", "kind": "status", "status": 503, "times": 1},
    {"on": "status", "kind": "status", "status": 500, "times": 2},
    {"on": "download", "kind": "truncate", "times": 1},
    {"on": "download", "kind": "truncate", "times": 9},
)


class Harm(NamedTuple):
    """What happens, before an attempt, to what the cache has of the picture that it wants.

    :param to_entry: whether to the entry; otherwise to one of its pictures.
    :param is_cut: whether the file loses its end; otherwise it is deleted.
    """

    to_entry: bool
    is_cut: bool


class Kill(NamedTuple):
    """The step at which a process dies.

    :param kind: of the steps that count, all if empty: writing, naming and removing files is where a cache
        could end half.
    :param is_late: whether what is done in that step is still done.
    """

    kind: str
    step: int
    is_late: bool


class Event(NamedTuple):
    """An attempt, and what comes before it.

    :param back: of which night: 0 begins another one, 1 is the latest, and so on.
    :param wish: what that asks for first.
    :param clears: whether a user clears an unfinished task before it. Otherwise it is a retry.
    :param keeps_state: whether a Clear after success keeps the task state (3.4).
    :param kill: the step at which its process dies.
    """

    back: int
    wish: int
    is_function: bool
    stores: bool
    is_deferred: bool
    loses_trigger: bool
    clears: bool
    keeps_state: bool
    kill: Kill | None
    harm: Harm | None
    fault: dict[str, Any] | None


WELL = Event(
    back=0,
    wish=0,
    is_function=False,
    stores=False,
    is_deferred=False,
    loses_trigger=False,
    clears=False,
    keeps_state=True,
    kill=None,
    harm=None,
    fault=None,
)
"""A night that nothing happens to."""


class Schedule(NamedTuple):
    version: Version
    latency: float
    events: list[Event]


HARMS = st.builds(Harm, st.booleans(), st.booleans())
KILLS = st.one_of(
    st.builds(Kill, st.just(""), st.integers(1, 45), st.booleans()),
    st.builds(Kill, st.sampled_from(["put_file", "replace"]), st.integers(1, 8), st.booleans()),
    st.just(Kill("remove", 1, is_late=False)),
)
EVENTS = st.builds(
    Event,
    st.sampled_from([0, 0, 1, 1, 1, 2, 3]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([False, False, True]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([False, False, True]),
    st.sampled_from([False, False, True]),
    st.sampled_from([True, True, False]),
    st.none() | KILLS,
    st.none() | HARMS,
    st.sampled_from(FAULTS),
)
SCHEDULE = st.builds(
    Schedule,
    st.sampled_from(VERSIONS),
    st.sampled_from([0.0, 0.03]),
    st.lists(EVENTS, min_size=3, max_size=10),
)


@dataclass
class Case:
    """A night, and what its current series has done.

    :param series: its number, from 0.
    :param paid: the generation that it has paid for, if any.
    :param is_sure: whether later attempts know what that was made of.
    :param can_take: whether it may take from the cache.
    """

    night: Night
    series: int = 0
    paid: str | None = None
    is_sure: bool = True
    can_take: bool = True

    def begin_series(self) -> None:
        self.series, self.paid, self.can_take = self.series + 1, None, False


@dataclass
class Entry:
    """An entry of the cache, as its own text tells it; what its name says is for the code under test."""

    path: Path
    generation_id: str
    key: str
    made_at: float
    pictures: list[Path]

    @property
    def is_whole(self) -> bool:
        return all(path.exists() and sha256(path.read_bytes()) in path.name for path in self.pictures)


def is_sure(case: Case, event: Event, *, has_ended: bool) -> bool:
    """Return whether it is known what an attempt has submitted, whatever its function returns."""
    if not case.night.is_function:
        return True
    if event.fault and event.fault["kind"] == "reset_after":
        return False
    if case.night.version.has_store:
        return case.night.remembered == case.paid
    return has_ended and not event.loses_trigger


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def key(wish: Wish) -> str:
    found = key_of(GenerationRequest.checked(wish.prompt, model=MODEL, size=SIZE, n=wish.n))
    assert found is not None
    return found


def path_of(uri: str) -> Path:
    return Path(urlsplit(uri).path)


@dataclass
class World:
    """One history as it runs.

    :param made: what each generation was made for, as the ledger gained it.
    :param given: the night and the series that each was given in, unless it came from the cache.
    :param harmed: files that somebody cut.
    """

    emulator: Any
    folder: Path
    death: Death
    schedule: Schedule
    totals: Counter[str]
    cases: list[Case] = field(default_factory=list)
    made: dict[str, tuple[Wish, Night]] = field(default_factory=dict)
    given: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    harmed: set[Path] = field(default_factory=set)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    seed: int = 0

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    # --- what must hold

    def expected(self, case: Case, owned: dict[str, str]) -> tuple[str, str | None]:
        """Return how an attempt comes to its images: paid before, cached or made; and the generation."""
        if case.paid is not None:
            return "paid", case.paid
        found = owned.get(key(case.night.wish)) if case.can_take else None
        return ("made", None) if found is None else ("cached", found)

    def check_money(
        self, case: Case, event: Event, owned: dict[str, str], result: dict[str, Any] | None
    ) -> None:
        """Check the ledger after an attempt, and what it handed on if it did."""
        way, generation_id = self.expected(case, owned)
        rows = self.emulator.ledger()["submissions"][len(self.made) :]
        assert len(rows) <= (way == "made"), f"paid for what was {way}: {rows}"
        for row in rows:
            generation_id = case.paid = row["id"]
            self.made[row["id"]] = (case.night.wish, case.night)
            case.is_sure = is_sure(case, event, has_ended=result is not None)
        if result is None:
            return
        assert generation_id is not None, "handed on what nobody made"
        self.totals[way] += 1
        assert (result["generation_id"], result["cached"]) == (generation_id, way == "cached")
        self.check_images(case.night, result)
        wish, maker = self.made[generation_id]
        if way == "cached":
            assert (result["submissions"], result["cost_usd"]) == (0, 0.0)
            assert result["made_by"]["run_id"] == f"night-{maker.number}"
            assert wish == case.night.wish, "took another picture"
        else:
            assert result["cost_usd"] == pytest.approx(wish.n * PRICE)
            self.given.setdefault(generation_id, set()).add((case.night.number, case.series))
            if case.is_sure:
                self.check_entered(generation_id)

    def check_images(self, night: Night, result: dict[str, Any]) -> None:
        """Each URL leads to the very picture of the generation, and it lies where it was wanted."""
        images = result["images"]
        files = [path_of(image["uri"]) for image in images]
        hashes = [sha256(file.read_bytes()) for file in files]
        assert hashes == [image["sha256"] for image in images] == self.pictures_of(result["generation_id"])
        assert result["urls"] == [image["uri"] for image in images]
        assert night.model.xcoms["urls"] == result["urls"]
        assert night.model.xcoms["generation_id"] == result["generation_id"]
        if night.output is None:
            assert all(self.cache in file.parents for file in files)
        else:
            assert sorted(night.output.iterdir())[: len(files)] == sorted(files)

    def check_entered(self, generation_id: str) -> None:
        """What was paid for and given is the one entry of its key, for the next night."""
        wish, _ = self.made[generation_id]
        assert self.owned().get(key(wish)) == generation_id
        assert len([entry for entry in self.entries() if entry.key == key(wish)]) == 1

    def check_files(self) -> None:
        """No file is half, and no entry holds another picture than it is called by."""
        for path in self.folder.glob("**/[!.]*.png"):
            if path not in self.harmed:
                assert path.read_bytes().endswith(END_OF_PNG), "half a picture"
        for entry in self.entries():
            wish, maker = self.made[entry.generation_id]
            keys = [key(wish)] + [own_key(entry.generation_id)] * maker.is_function
            assert entry.key in keys, "an entry under the key of another picture"
            assert len(entry.pictures) == wish.n
            hashes = self.pictures_of(entry.generation_id)
            for path, known in zip(entry.pictures, hashes, strict=True):
                if path not in self.harmed:
                    assert sha256(path.read_bytes()) == known

    def check_end(self) -> None:
        """Everything that was paid for was given, each in one series."""
        assert len(self.emulator.ledger()["submissions"]) == len(self.made)
        assert {name: len(series) for name, series in self.given.items()} == dict.fromkeys(self.made, 1)

    # --- what lies where

    def entries(self) -> list[Entry]:
        """Return the entries that nobody has cut; they must be whole JSON."""
        found = []
        for path in sorted(self.cache.glob("??/*.json")):
            if path not in self.harmed:
                told = json.loads(path.read_text())
                pictures = [path.parent / name for name in told["pictures"]]
                made_at = pendulum.parse(told["made_at"]).timestamp()  # type: ignore[union-attr]
                found.append(Entry(path, told["generation_id"], told["key"], made_at, pictures))
        return sorted(found, key=lambda entry: entry.made_at)

    def owned(self) -> dict[str, str]:
        """Return the generation of the newest whole entry of each key."""
        return {entry.key: entry.generation_id for entry in self.entries() if entry.is_whole}

    def pictures_of(self, generation_id: str) -> list[str]:
        """Return the hashes of a generation's pictures, as the service has them."""
        if generation_id not in self.pictures:
            folder = f"{self.emulator.base_url}{RESULT_FILES}{generation_id}"
            hashes = []
            for index in range(self.made[generation_id][0].n):
                with urllib.request.urlopen(f"{folder}/{index}.png") as answer:
                    hashes.append(sha256(answer.read()))
            self.pictures[generation_id] = hashes
        return self.pictures[generation_id]

    # --- what happens

    def play(self, event: Event) -> None:
        if 0 < event.back <= len(self.cases):
            case = self.cases[-event.back]
            if case.night.is_over:
                self.clear(case, keeps_state=event.keeps_state)
            elif event.clears:
                self.clear(case, keeps_state=True)
        else:
            case = self.begin(event)
        if event.harm:
            self.harm(event.harm, case.night.next_wish)
        kill = event.kill
        if kill and not kill.kind and not case.can_take:
            kill = kill._replace(step=max(kill.step, SAYS_FIRST))
        self.run(case, event._replace(kill=kill))

    def begin(self, event: Event) -> Case:
        """Begin another night."""
        number, wishes = len(self.cases), WISHES[event.wish :] + WISHES[: event.wish]
        night = Night(
            number=number,
            version=self.schedule.version,
            cache=self.cache,
            wishes=wishes if event.is_function else wishes[:1],
            is_function=event.is_function,
            output=self.folder / str(number) if event.stores else None,
            is_deferred=event.is_deferred,
            death=self.death,
        )
        self.cases.append(Case(night))
        return self.cases[-1]

    def clear(self, case: Case, *, keeps_state: bool) -> None:
        self.totals["cleared"] += 1
        night, was_given = case.night, case.night.is_over or case.night.is_given
        forgets = night.version.is_forgetful and not keeps_state
        night.clear(keeps_state=keeps_state)
        if forgets:
            self.emulator.advance(5)  # by whole seconds it tells whether it was completed before the Clear
        if forgets and case.paid is None:
            return  # the service knows nothing that was given, so this Clear takes from the cache again
        if was_given:
            if case.paid is not None:  # also if the process died before Airflow heard of it
                self.given.setdefault(case.paid, set()).add((night.number, case.series))
            case.begin_series()

    def harm(self, harm: Harm, wish: Wish) -> None:
        whole = [entry for entry in self.entries() if entry.key == key(wish) and entry.is_whole]
        if not whole:
            return
        self.totals["harmed"] += 1
        path = whole[-1].path if harm.to_entry else whole[-1].pictures[-1]
        if harm.is_cut:
            path.write_bytes(path.read_bytes()[:-1])
        else:
            path.unlink()
        self.harmed.add(path)

    def run(self, case: Case, event: Event = WELL) -> bool:
        """Run one attempt, and return whether it succeeded."""
        self.totals["attempts"] += 1
        if self.seed != len(self.made) % SEEDS:
            self.seed = len(self.made) % SEEDS
            self.emulator.configure(seed=self.seed)  # or all pictures of a prompt would be the same
        if event.fault:
            self.emulator.faults([event.fault])
        owned, result = self.owned(), None
        if kill := event.kill:
            self.death.be_due(kill.step, after=kill.is_late, kind=kill.kind)
        try:
            result = case.night.attempt(loses_trigger=event.loses_trigger)
        except Killed:
            self.totals["killed"] += 1
        except GptImgError:
            self.totals["failed"] += 1
        finally:
            self.death.be_due(0, after=False)
        if event.fault:
            self.emulator.faults([])
        self.check_money(case, event, owned, result)
        self.check_files()
        return result is not None


def play(world: World) -> None:
    world.emulator.reset()
    world.emulator.configure(latency_median=world.schedule.latency, balance=1_000)
    for event in world.schedule.events:
        world.play(event)
    # From here on everything behaves.
    unfinished = [case for case in world.cases if not case.night.is_over]
    play_another_night(world)
    for case in unfinished:
        assert world.run(case), "never handed on"
    if unfinished:
        play_another_night(world)
    world.check_end()


def play_another_night(world: World) -> None:
    """Want again all that was made, and get it, from the cache if it is whole."""
    made = {wish for wish, _ in world.made.values()}
    for place, wish in enumerate(WISHES):
        if wish in made:
            assert world.run(world.begin(WELL._replace(wish=place))), "never handed on"


def test_what_is_owned_is_paid_once_whatever_happens(
    gptimg_emulator: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    record_figures: Callable[[str], None],
) -> None:
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
    @hypothesis.given(SCHEDULE)
    def schedules(schedule: Schedule) -> None:
        totals["schedules"] += 1
        hypothesis.note(str(schedule))
        folder = tmp_path / str(totals["schedules"])
        play(World(gptimg_emulator, folder, death, schedule, totals))
        forget(folder)

    try:
        schedules()
    finally:
        record_figures(
            f"cache schedules: {totals['schedules']:,} in {time.perf_counter() - began:.1f} s (seed {SEED}); "
            f"{totals['attempts']:,} attempts, {totals['killed']:,} killed, {totals['failed']:,} failed, "
            f"{totals['cleared']:,} Clears, {totals['harmed']:,} files harmed; given: {totals['made']:,} "
            f"as paid, {totals['paid']:,} as paid by an earlier attempt, {totals['cached']:,} from the cache"
        )
