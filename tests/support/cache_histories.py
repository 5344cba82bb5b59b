"""Histories of nights that share a cache, and what must come of each attempt.

That is said beforehand, by what lies in the cache and by what the series of the attempt has paid for:

- A series that has paid goes on with that, whatever the cache has.
- The first series of a run takes what is whole in the cache, and pays nothing.
- Whatever else is missing, damaged or wanted after a Clear is paid for once, and takes the entry's place.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pendulum
import pytest

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.emulator.fault_middleware import RESULT_FILES
from airflow_provider_gptimg.exceptions import GptImgError
from airflow_provider_gptimg.files.cache import key_of, own_key
from tests.support.airflow_model import Version
from tests.support.deaths import Death, Killed
from tests.support.nights import MODEL, SIZE, Night, Wish

WISHES = (Wish("A fox", 2), Wish("A hen", 1), Wish("A cup", 1))
PRICE = 0.03
DAY = 86_400

SEEDS = 6
"""Pictures that the emulator paints of one prompt: an image that is made again is another one."""

SAYS_FIRST = 4
"""The step at which an attempt has surely said which series it belongs to. What becomes of attempts that die
before is in ``test_fault_schedules.py``."""

END_OF_PNG = b"IEND\xaeB`\x82"


class Kill(NamedTuple):
    """The step at which a process dies.

    :param kind: of the steps that count, all if empty; see :func:`tests.support.nights.make_mortal`.
    :param is_late: whether what is done in that step is still done.
    """

    kind: str
    step: int
    is_late: bool


class Harm(NamedTuple):
    """What happens, before an attempt, to what the cache has of the picture that it wants.

    :param to_entry: whether to the entry; otherwise to one of its pictures.
    :param is_cut: whether the file loses its end; otherwise it is deleted.
    """

    to_entry: bool
    is_cut: bool


class Event(NamedTuple):
    """An attempt, and what comes before it.

    :param back: of which night: 0 begins another one, 1 is the latest, and so on. One that succeeded is
        cleared first.
    :param wish: what a night asks for first.
    :param is_function: whether its task is a function, which asks for something else at each call.
    :param stores: whether it has an ``output_path``.
    :param loses_trigger: whether its trigger dies, and takes along what was deferred.
    :param clears: whether a user clears an unfinished task before it. Otherwise it is a retry.
    :param keeps_state: whether a Clear after success keeps the task state (3.4).
    :param is_late: whether it comes a day later, when the service has no images any more.
    :param fault: of the service, while it runs.
    """

    back: int = 0
    wish: int = 0
    is_function: bool = False
    stores: bool = False
    is_deferred: bool = False
    loses_trigger: bool = False
    clears: bool = False
    keeps_state: bool = True
    is_late: bool = False
    kill: Kill | None = None
    harm: Harm | None = None
    fault: dict[str, Any] | None = None


class History(NamedTuple):
    """What happens, on which Airflow, and the seconds that a generation takes."""

    version: Version
    latency: float
    events: list[Event]


@dataclass
class Case:
    """A night, and what its current series has done.

    :param series: its number, from 0.
    :param paid: the generation that it has paid for, if any.
    :param is_sure: whether later attempts know what that was made of.
    """

    night: Night
    series: int = 0
    paid: str | None = None
    is_sure: bool = True

    @property
    def name(self) -> tuple[int, int]:
        return self.night.number, self.series

    def begin_series(self) -> None:
        self.series, self.paid = self.series + 1, None

    def has_paid(self, generation_id: str, event: Event, *, has_ended: bool) -> None:
        """Note what an attempt has paid for, and whether another one knows what its function had returned."""
        self.paid = generation_id
        if self.night.version.has_store:
            is_known = self.night.remembered == generation_id
        else:
            is_known = has_ended and not event.loses_trigger
        is_answered = event.fault is None or event.fault["kind"] != "reset_after"
        self.is_sure = not self.night.is_function or (is_known and is_answered)


@dataclass
class Entry:
    """An entry of the cache, by its own text. By its name it is found by the code that is tested."""

    path: Path
    generation_id: str
    key: str
    made_at: float
    pictures: list[Path]

    @classmethod
    def read(cls, path: Path) -> Entry:
        told = json.loads(path.read_text())
        made_at: Any = pendulum.parse(told["made_at"])
        pictures = [path.parent / name for name in told["pictures"]]
        return cls(path, told["generation_id"], told["key"], made_at.timestamp(), pictures)

    @property
    def is_whole(self) -> bool:
        return all(path.exists() and sha256(path.read_bytes()) in path.name for path in self.pictures)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def key(wish: Wish) -> str:
    found = key_of(GenerationRequest.checked(wish.prompt, model=MODEL, size=SIZE, n=wish.n))
    assert found is not None
    return found


@dataclass
class World:
    """One history as it runs.

    :param made: what each generation was made for, as the ledger gained it.
    :param given: the nights and series that each was given in, unless it came from the cache.
    :param expired: generations whose images the service has no more.
    :param harmed: files that somebody cut or deleted.
    """

    emulator: Any
    folder: Path
    death: Death
    version: Version
    totals: Counter[str]
    cases: list[Case] = field(default_factory=list)
    made: dict[str, tuple[Wish, Night]] = field(default_factory=dict)
    given: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    harmed: set[Path] = field(default_factory=set)
    hashes: dict[str, list[str]] = field(default_factory=dict)
    seed: int = 0

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    # --- what must hold

    def expected(self, case: Case, owned: dict[str, str]) -> tuple[str, str | None]:
        """Return how an attempt comes to its images: paid before, cached or made; and the generation.

        :param owned: what the cache had before it.
        """
        if case.paid is not None and case.paid not in self.expired:
            return "paid", case.paid
        found = owned.get(key(case.night.wish)) if case.series == 0 else None
        return ("made", None) if found is None else ("cached", found)

    def check(self, case: Case, event: Event, owned: dict[str, str], result: dict[str, Any] | None) -> None:
        """Check the ledger after an attempt, and what it handed on, None if it died or failed."""
        way, generation_id = self.expected(case, owned)
        rows = self.emulator.ledger()["submissions"][len(self.made) :]
        assert len(rows) <= (way == "made"), f"paid for what was {way}: {rows}"
        for row in rows:
            generation_id = row["id"]
            self.made[generation_id] = (case.night.wish, case.night)
            case.has_paid(generation_id, event, has_ended=result is not None)
        if result is None:
            return
        self.totals[way] += 1
        assert generation_id is not None, "handed on what was to be made"
        assert result["generation_id"] == generation_id, f"not the one that is {way}: {result}"
        assert result["cached"] == (way == "cached")
        self.check_images(case.night, result)
        wish, maker = self.made[generation_id]
        if way == "cached":
            assert (result["submissions"], result["cost_usd"]) == (0, 0.0)
            assert result["made_by"]["run_id"] == f"night-{maker.number}"
            assert wish == case.night.wish, "took another picture"
            return
        assert result["cost_usd"] == pytest.approx(wish.n * PRICE)
        self.given.setdefault(generation_id, set()).add(case.name)
        if case.is_sure:
            assert self.owned().get(key(wish)) == generation_id, "not there for the next night"
            assert sum(entry.key == key(wish) for entry in self.entries()) == 1, "older entries are left"

    def check_images(self, night: Night, result: dict[str, Any]) -> None:
        """Each URL leads to the very picture of the generation, and it lies where it was wanted."""
        images = result["images"]
        files = [Path(urlsplit(image["uri"]).path) for image in images]
        hashes = [sha256(file.read_bytes()) for file in files]
        assert hashes == [image["sha256"] for image in images], "other bytes than the result says"
        assert hashes == self.hashes_of(result["generation_id"]), "the picture of another generation"
        assert result["urls"] == night.model.xcoms["urls"] == [image["uri"] for image in images]
        assert night.model.xcoms["generation_id"] == result["generation_id"]
        if night.output is None:
            assert all(self.cache in file.parents for file in files)
        else:
            assert files == [night.output / f"picture-{index}.png" for index in range(len(files))]

    def check_files(self) -> None:
        """No file is half, and no entry holds another picture than it is called by."""
        for path in self.folder.glob("**/[!.]*.png"):
            if path not in self.harmed:
                assert path.read_bytes().endswith(END_OF_PNG), "half a picture"
        for entry in self.entries():
            wish, maker = self.made[entry.generation_id]
            keys = {key(wish), own_key(entry.generation_id) if maker.is_function else ""}
            assert entry.key in keys, "an entry under the key of another picture"
            hashes = self.hashes_of(entry.generation_id)
            for path, known in zip(entry.pictures, hashes, strict=True):
                if path not in self.harmed:
                    assert sha256(path.read_bytes()) == known, "an entry with another picture"

    def check_end(self) -> None:
        """Everything that was paid for was given, each in one series, unless it expired before."""
        assert self.made.keys() - self.given.keys() <= self.expired, "paid for and never given"
        assert all(len(names) == 1 for names in self.given.values()), "given in two series"

    # --- what lies where

    def entries(self) -> list[Entry]:
        """Return the entries that nobody has cut, the oldest first; they must be whole JSON."""
        found = [Entry.read(path) for path in self.cache.glob("??/*.json") if path not in self.harmed]
        return sorted(found, key=lambda entry: entry.made_at)

    def owned(self) -> dict[str, str]:
        """Return the generation of the newest whole entry of each key."""
        return {entry.key: entry.generation_id for entry in self.entries() if entry.is_whole}

    def hashes_of(self, generation_id: str) -> list[str]:
        """Return the hashes of a generation's pictures, as the service has them."""
        if generation_id not in self.hashes:
            folder = f"{self.emulator.base_url}{RESULT_FILES}{generation_id}"
            found = []
            for index in range(self.made[generation_id][0].n):
                with urllib.request.urlopen(f"{folder}/{index}.png") as answer:
                    found.append(sha256(answer.read()))
            self.hashes[generation_id] = found
        return self.hashes[generation_id]

    # --- what happens

    def play(self, event: Event) -> None:
        if event.is_late:
            self.let_a_day_pass()
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
        if event.kill and not event.kill.kind and case.series:
            event = event._replace(kill=event.kill._replace(step=max(event.kill.step, SAYS_FIRST)))
        self.run(case, event)

    def begin(self, event: Event) -> Case:
        """Begin another night."""
        number, wishes = len(self.cases), WISHES[event.wish :] + WISHES[: event.wish]
        night = Night(
            number=number,
            version=self.version,
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
        was_given = case.night.is_over or case.night.is_given
        case.night.clear(keeps_state=keeps_state)
        if case.night.version.is_forgetful and not keeps_state:
            self.emulator.advance(5)  # its whole seconds tell whether it was completed before the Clear
            if case.paid is None:
                return  # the service knows nothing that was given, so this Clear takes from the cache again
        if was_given:
            if case.paid is not None and case.paid not in self.expired:
                # That may be unknown yet, if the process died before Airflow heard of it.
                self.given.setdefault(case.paid, set()).add(case.name)
            case.begin_series()

    def let_a_day_pass(self) -> None:
        self.emulator.advance(1)  # until all are completed
        for generation_id in self.made:
            self.hashes_of(generation_id)
        self.emulator.advance(DAY)
        self.expired |= self.made.keys()

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

    def run(self, case: Case, event: Event) -> None:
        """Run one attempt."""
        self.totals["attempts"] += 1
        if self.seed != len(self.made) % SEEDS:
            self.seed = len(self.made) % SEEDS
            self.emulator.configure(seed=self.seed)
        if event.fault:
            self.emulator.faults([event.fault])
        if event.kill:
            self.death.be_due(event.kill.step, after=event.kill.is_late, kind=event.kill.kind)
        owned, result = self.owned(), None
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
        self.check(case, event, owned, result)
        self.check_files()

    def end(self) -> None:
        """Let everything behave, and end what is unfinished; the nights before and after want all again."""
        unfinished = [case for case in self.cases if not case.night.is_over]
        self.play_another_night()
        for case in unfinished:
            self.run(case, Event())
        if unfinished:
            self.play_another_night()
        assert all(case.night.is_over for case in self.cases), "never handed on"
        self.check_end()

    def play_another_night(self) -> None:
        made = {wish for wish, _ in self.made.values()}
        for place in range(len(WISHES)):
            if WISHES[place] in made:
                self.play(Event(wish=place))


def play(history: History, emulator: Any, folder: Path, death: Death, totals: Counter[str]) -> None:
    """Play a history against an emulator, and check it."""
    totals["histories"] += 1
    emulator.reset()
    emulator.configure(latency_median=history.latency, balance=1_000)
    world = World(emulator, folder, death, history.version, totals)
    for event in history.events:
        world.play(event)
    world.end()
