"""Many small batches whose attempts die at random steps, as by SIGKILL: every item once, in the end.

Some are cleared in between, and items made anew: only what was there then is paid for again.
"""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.client import AsyncClient
from airflow_provider_gptimg.batch.journal import Known
from airflow_provider_gptimg.batch.json_lines import read_records
from airflow_provider_gptimg.files.place import Place
from tests.support.batches import BatchTask, check_paid_once, connect, hurry, submissions
from tests.support.deaths import Death, Killed

SEEDS = range(20)
SEEDS_WITH_CLEARS = range(100, 116)
SEEDS_WITH_CACHE, SEEDS_WITH_HARM = range(300, 316), range(400, 416)
MOST_DEATHS = 6


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Death:
    death = Death()
    send = AsyncClient._send

    async def mortal_send(client: AsyncClient, *given: Any) -> Any:
        is_last = death.before()
        reply = await send(client, *given)
        death.after(is_last)
        return reply

    monkeypatch.setattr(AsyncClient, "_send", mortal_send)
    monkeypatch.setattr(Place, "put", death.during(Place.put))
    return death


class Clears:
    """Clears a batch's task now and then, and names items to make anew.

    :param allowed: how many generations may have been paid for again since then.
    """

    def __init__(self, batch: BatchTask, seed: int) -> None:
        self.allowed = 0
        self._batch, self._dice, self._is_on = batch, random.Random(-seed), seed in SEEDS_WITH_CLEARS

    def may_come(self, likely: float) -> bool:
        """Throw the dice; return whether the task was cleared."""
        if not self._is_on or self._dice.random() > likely:
            return False
        there = completed(self._batch)
        named = [index for index in range(10) if self._dice.random() < 0.4]
        self._batch.arguments["remake"] = named
        self._batch.clear()
        self.allowed += len(there & set(named))
        return True


def completed(batch: BatchTask) -> set[int]:
    """Return the indexes of the items whose images are there, by the latest journal."""
    known, latest = Known(), dict[str, dict[str, Any]]()
    segments = sorted(batch.folder.glob(".gptimg/*/0/*.jsonl"))
    for record in read_records([Place.of(path.as_uri()) for path in segments]):
        if known.learn(record):
            latest[record["key"]] = record
    return {record["index"] for record in latest.values() if record["status"] == "completed"}


def begun(seed: int, monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """Begin a story, and return its dice; their first throw says how often the journal is written."""
    dice = random.Random(seed)
    hurry(monkeypatch)
    monkeypatch.setattr("airflow_provider_gptimg.batch.runner.FLUSH_EVERY", dice.choice([0.0, 1.0]))
    return dice


@pytest.mark.parametrize("seed", [*SEEDS, *SEEDS_WITH_CLEARS])
def test_every_item_exactly_once(
    gptimg_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: Death, seed: int
) -> None:
    dice = begun(seed, monkeypatch)
    monkeypatch.setattr("airflow_provider_gptimg.batch.journal.MANY_SEGMENTS", dice.choice([2, 50]))
    connect(monkeypatch, gptimg_emulator, submit_rps=dice.choice([5, 30]))
    gptimg_emulator.configure(latency_median=dice.choice([0.05, 0.05, 1.0]))
    faults = [
        {"on": "submit", "kind": "reset_after", "probability": 0.2, "times": 2},
        {"on": "submit", "kind": "status", "status": 503, "probability": 0.1, "times": 1},
        {"on": "status", "kind": "status", "status": 500, "probability": 0.1, "times": 3},
        {"on": "download", "kind": "truncate", "probability": 0.1, "times": 2},
    ]
    gptimg_emulator.faults(dice.sample(faults, dice.randrange(3)))
    count = dice.randint(1, 9)
    items: list[Any] = [f"Animal {number}" for number in range(count)]
    items += dice.choices(items, k=dice.randrange(2))  # the same prompt again is another item
    fails = dice.random() < 0.3
    batch = BatchTask(
        tmp_path, {"items": [*items, "[fail]"] if fails else items, "on_item_error": "continue"}
    )
    batch.arguments |= {"max_in_flight": dice.choice([1, 3, 1000])}
    deaths = dice.randint(1, MOST_DEATHS)
    clears = Clears(batch, seed)
    for _ in range(deaths):
        death.be_due(dice.randint(1, 50), after=dice.random() < 0.5)
        try:
            batch.attempt()
        except (Killed, exceptions.GptImgBatchError):
            clears.may_come(0.5)
            continue
        if not clears.may_come(0.7):
            break
    else:
        death.be_due(1_000_000, after=False)
        gptimg_emulator.faults([])
        batch.attempt()
    check(batch, gptimg_emulator, len(items), fails, again=clears.allowed)


@pytest.mark.parametrize("seed", range(200, 216))
def test_a_limit_holds_whatever_dies(
    gptimg_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: Death, seed: int
) -> None:
    dice = begun(seed, monkeypatch)
    connect(monkeypatch, gptimg_emulator, submit_rps=dice.choice([5, 30]))
    # Sometimes a look-up is blind to what was accepted: then even what seems to be nothing counts as paid.
    gptimg_emulator.configure(latency_median=dice.choice([0.05, 1.0]), lookup_lag=dice.choice([0.0, 60.0]))
    gptimg_emulator.faults([{"on": "submit", "kind": "reset_after", "probability": 0.3, "times": 3}])
    items = [dice.choice(["Animal", "Animal", "[fail]"]) + f" {number}" for number in range(12)]
    batch = BatchTask(tmp_path, {"items": items, "on_item_error": "continue"})
    limit = batch.arguments["max_cost_usd"] = dice.choice([0.03, 0.06, 0.1])

    def spent() -> float:
        rows = submissions(gptimg_emulator)
        return round(sum(row["billed"] - row["refunded"] for row in rows), 9)

    for _ in range(dice.randint(1, MOST_DEATHS)):
        death.be_due(dice.randint(1, 60), after=dice.random() < 0.5)
        with suppress(Killed, exceptions.GptImgError):
            batch.attempt()
        assert spent() <= limit
        if dice.random() < 0.5:
            batch.clear()
    death.be_due(1_000_000, after=False)
    batch.clear()
    with pytest.raises((exceptions.GptImgCostLimitError, exceptions.GptImgBatchError)):
        batch.attempt()
    assert spent() <= limit
    gptimg_emulator.faults([])
    gptimg_emulator.configure(lookup_lag=0.0)
    batch.arguments["max_cost_usd"] = 10.0
    batch.clear()
    batch.attempt()
    good = [item for item in items if "[fail]" not in item]
    assert sum(line["status"] == "completed" for line in batch.manifest()) == len(good)


def harm(cache: Path, dice: random.Random) -> int:
    """Delete, cut or overwrite some files of a cache now and then, and return how many."""
    files = sorted(path for path in cache.glob("??/*") if path.is_file())
    chosen = dice.sample(files, min(len(files), dice.choice([0, 0, 1, 3])))
    for path in chosen:
        content = path.read_bytes()
        match dice.choice(["delete", "cut", "overwrite"]):
            case "delete":
                path.unlink()
            case "cut":
                path.write_bytes(content[:-1])
            case "overwrite":
                path.write_bytes(b"x" * len(content))
    return len(chosen)


@pytest.mark.parametrize("seed", [*SEEDS_WITH_CACHE, *SEEDS_WITH_HARM])
def test_what_is_owned_is_paid_once_whatever_dies(
    gptimg_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: Death, seed: int
) -> None:
    dice = begun(seed, monkeypatch)
    connect(monkeypatch, gptimg_emulator, submit_rps=30)
    gptimg_emulator.configure(latency_median=dice.choice([0.05, 0.5]))
    animals = [f"Animal {number}" for number in range(6)]
    asked: set[str] = set()
    harmed, cache = 0, tmp_path / "cache"
    for night in range(3):
        items = [*dice.choices(animals, k=8), f"Only in night {night}"]
        asked |= set(items)
        arguments = {"items": items, "cache_path": cache}
        batch = BatchTask(tmp_path / str(night), arguments, run_id=str(night))
        for _ in range(dice.randint(0, MOST_DEATHS)):
            harmed += harm(cache, dice) if seed in SEEDS_WITH_HARM else 0
            death.be_due(dice.randint(1, 40), after=dice.random() < 0.5)
            with suppress(Killed):
                batch.attempt()
        death.be_due(1_000_000, after=False)
        result = batch.attempt()
        assert (result["completed"], result["failed"]) == (9, 0)
        pictures: dict[str, set[str]] = {}
        for line in batch.manifest():
            (image,) = line["images"]
            content = Place.of(image["uri"]).read()
            assert hashlib.sha256(content).hexdigest() == image["sha256"]
            pictures.setdefault(line["request"]["prompt"], set()).add(image["sha256"])
        assert harmed or all(len(of_a_prompt) == 1 for of_a_prompt in pictures.values())
    assert len(asked) <= len(submissions(gptimg_emulator)) <= len(asked) + harmed
    check_paid_once(gptimg_emulator)


def check(batch: BatchTask, emulator: Any, count: int, fails: bool, *, again: int) -> None:
    lines = batch.manifest()
    assert [line["index"] for line in lines] == list(range(count + fails))
    done = [line for line in lines if line["status"] == "completed"]
    good = [row["id"] for row in submissions(emulator) if row["status"] != "failed"]
    assert count <= len(good) <= count + again
    # A picture that came broken is fetched by the next attempt; where that was the last one, it is missing.
    assert {line["generation_id"] for line in done} <= set(good)
    assert len(done) >= count - 1
    uris, stored = {line["uris"][0] for line in done}, {path.as_uri() for path in batch.pictures()}
    # What came broken when it was made anew has its former picture.
    assert (uris <= stored) if again else (uris == stored)
    assert len(uris) == len(done) <= len(stored) <= count
    check_paid_once(emulator)
