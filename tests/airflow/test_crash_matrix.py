"""Whatever dies, the task succeeds by itself, hands its image on, and has paid for it once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.files.cache import Cache
from airflow_provider_gptimg.files.place import Place
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.crash_table import ROWS, Row
from tests.support.stage import PATIENCE, Actor, Stage, side_by_side

FOUND = "not paying again"
NOT_FOUND = "no earlier attempt seems to have submitted it"
GOES_ON = "is completed with 1 image"
ENDED = "The task ends in the triggerer"
SECOND = "triggerer-2"


@dataclass(frozen=True)
class Case:
    """A story: what is killed when, what the log says then, and how many tries it takes.

    :param kill: kills what belongs to this story alone.
    """

    killed: str
    when: str
    says: str
    tries: int = 2
    kill: Callable[[Actor], None] = lambda actor: None


def at(point: str, **options: bool) -> Callable[[Actor], None]:
    return lambda actor: actor.kill_at(point, **options)


def once_accepted(actor: Actor) -> None:
    actor.wait_paid()
    actor.kill_at("before_post")  # the process that got there, which is beyond that point now


WORKERS = {
    "before_post": Case("task", "before the POST", NOT_FOUND, kill=at("before_post")),
    "in_post": Case("task", "accepted, before the answer", FOUND, kill=once_accepted),
    "after_post": Case("task", "after the answer, before XCom", FOUND, kill=at("after_post")),
    "before_defer": Case("task", "after XCom, before deferral", FOUND, kill=at("before_defer")),
    "resumed": Case("task", "at the start of the resume", FOUND, kill=at("resumed")),
    "handed_on": Case("task", "resumed, after XCom urls", FOUND, kill=at("handed_on")),
    "in_download": Case("task", "resumed, during a download", FOUND, kill=at("in_download")),
    "into_cache": Case("task", "resumed, on the way into the cache", FOUND, kill=at("in_download")),
    "before_entry": Case("task", "resumed, before the entry of the cache", FOUND, kill=at("before_entry")),
    "after_entry": Case("task", "resumed, after the entry of the cache", FOUND, kill=at("handed_on")),
    "sync_wait": Case("task", "while it waits on the worker", FOUND, kill=at("after_look")),
    "machine_lost": Case(
        "task, supervisor",
        "after the answer, before XCom",
        FOUND,
        kill=at("after_post", with_supervisor=True),
    ),
}
TWO_TRIGGERERS = {"one_of_two_dies": Case("one of two triggerers", "while it waits", GOES_ON, tries=1)}
TRIGGERER = {
    "triggerer_dies": Case("triggerer", "while it waits", GOES_ON, tries=1),
    "triggerer_dies_ending": Case("triggerer", "while it waits to end the task", ENDED, tries=1),
    "before_xcoms": Case("triggerer", "before the XComs of the end", ENDED, tries=1),
    "between_xcoms": Case("triggerer", "between the XComs of the end", ENDED, tries=1),
    "after_xcoms": Case("triggerer", "after the XComs of the end", ENDED, tries=1),
}
SCHEDULER = {
    "scheduler_dies_deferred": Case("scheduler", "while the task is deferred", GOES_ON, tries=1),
    "scheduler_dies_in_post": Case("scheduler, task", "accepted, before the answer", FOUND),
    "scheduler_dies_in_post_without_retries": Case("scheduler, task", "the same with retries=0", FOUND),
}
CASES = WORKERS | TWO_TRIGGERERS | TRIGGERER | SCHEDULER


def kill_one_triggerer(stack: AirflowStack, actors: dict[str, Actor]) -> None:
    """Kill the one of two triggerers in which the task waits."""
    actor = actors["one_of_two_dies"]
    actor.wait_watched()
    owner = actor.task.details()["triggerer_job"]["id"]
    stack.kill(SECOND if owner == latest_triggerer(stack) else "triggerer")


def kill_components(stack: AirflowStack, actors: dict[str, Actor]) -> None:
    """Kill the scheduler with what it runs, and the triggerer that is left; start them again."""
    for name, actor in actors.items():
        if "in_post" in name:
            actor.wait_paid()
        elif "_xcoms" in name:
            actor.wait_reached(name)
        else:
            actor.wait_watched()
    for name in ("scheduler", "triggerer", SECOND):
        stack.kill(name)
    for name in ("scheduler", "triggerer"):
        stack.restart(name)


def latest_triggerer(stack: AirflowStack) -> int:
    """Return the job id of the triggerer that was started last."""
    jobs = stack.api.request("GET", "/jobs", params={"job_type": "TriggererJob"})["jobs"]
    return max(job["id"] for job in jobs)


@dataclass(frozen=True)
class Theatre:
    """Where the stories are played."""

    stack: AirflowStack
    emulator: Remote
    folder: Path

    def play(
        self, kill: Callable[[AirflowStack, dict[str, Actor]], None], **acts: dict[str, Case]
    ) -> dict[str, Future[Row]]:
        """Play the stories of some DAGs side by side; ``kill`` kills what several have in common."""
        actors, stories = {}, {}
        for dag_id, cases in acts.items():
            stage = Stage(self.stack, dag_id, self.folder, dict.fromkeys(cases, self.emulator))
            actors |= {name: stage.actor(name) for name in cases}
            started = time.monotonic()
            stories |= {name: partial(_story, case, actors[name], started) for name, case in cases.items()}
        return side_by_side(stories, meanwhile=partial(kill, self.stack, actors))

    def play_all(self) -> dict[str, Future[Row]]:
        """Play everything: stories whose deaths do not disturb one another at the same time."""
        withheld = [name for name in CASES if "in_post" in name]
        rule = {"on": "submit", "kind": "delay", "seconds": PATIENCE, "times": 1}
        self.emulator.faults([{**rule, "match": f"{name}."} for name in withheld])
        first = latest_triggerer(self.stack)
        self.stack.start("triggerer", SECOND)
        wait_until(lambda: latest_triggerer(self.stack) > first, 120, self.stack.log_tails)
        played = self.play(kill_one_triggerer, crash_workers=WORKERS, crash_two_triggerers=TWO_TRIGGERERS)
        return played | self.play(kill_components, crash_triggerer=TRIGGERER, crash_scheduler=SCHEDULER)


def _story(case: Case, actor: Actor, started: float) -> Row:
    case.kill(actor)
    ended = actor.wait_success(try_number=case.tries)
    assert case.says in actor.log()
    paid = actor.submissions()
    seconds = time.monotonic() - started
    billed = sum(row["billed"] - row["refunded"] for row in paid)
    return Row(case.killed, case.when, ended["try_number"], len(paid), billed, seconds)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stories tell their fault points, and store."""
    return tmp_path_factory.mktemp("faultpoints")


@pytest.fixture(scope="module")
def stories(
    airflow_stack: AirflowStack, emulator_process: Remote, folder: Path
) -> Iterator[dict[str, Future[Row]]]:
    """All stories, played."""
    emulator_process.reset()
    try:
        yield Theatre(airflow_stack, emulator_process, folder).play_all()
    finally:
        airflow_stack.kill_tasks()  # of stories that failed
        emulator_process.reset()
        airflow_stack.processes.pop(SECOND).stop()
        for name in ("triggerer", "scheduler"):
            if not airflow_stack.processes[name].running():
                airflow_stack.restart(name)


@pytest.mark.parametrize("name", CASES)
def test_the_image_is_paid_once_and_handed_on(name, stories, request):
    row = stories[name].result()
    request.config.stash.setdefault(ROWS, []).append(row)
    assert row.submissions == 1
    assert row.billed > 0
    assert row.tries == CASES[name].tries


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_cache_has_one_whole_entry_with_its_picture(number, stories, folder):
    for story in stories.values():
        story.result()
    cache = folder / "cache" / str(number)
    (entry,) = cache.glob("??/*.json")
    key = entry.name.partition("-")[0]
    (picture,) = Cache(Place.of(cache)).find([key]).entries[key].pictures
    assert hashlib.sha256(Path(picture["uri"]).read_bytes()).hexdigest() == picture["sha256"]
