"""Out of time, marked by a user, or left by its trigger: what was paid for is kept, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import httpx
import pytest
from airflow.models import DagRun
from sqlalchemy import create_engine, update

from airflow_provider_gptimg.emulator.remote import Remote
from dev.emulator import EmulatorProcess
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.stage import PATIENCE, Actor, Stage, side_by_side

AN_HOUR_EACH = ("--latency-median", "3600", "--latency-sigma", "0.01", "--rate-limit", "off")
LATE = ("late", "late_sync", "execution_timeout", "execution_timeout_sync")
GIVEN_UP = ("marked_failed", "marked_success", "dagrun_timeout")
NEVER_READY = ("out_of_time", *GIVEN_UP)
QUICKLY_READY = ("trigger_dies",)
BILLED = "accepted and billed"


def paid_once(actor: Actor) -> dict[str, Any]:
    (submission,) = actor.submissions()
    return submission


def later_found(actor: Actor, says: str) -> None:
    """The first attempt ended for want of time, a later one handed the same image on."""
    ended = actor.wait_success(try_number=2)
    assert ended["try_number"] >= 2
    generation_id = paid_once(actor)["id"]
    first = actor.task.log(1)
    for text in (generation_id, BILLED, says):
        assert text in first, first
    assert "not paying again" in actor.task.log(ended["try_number"])
    assert actor.task.xcom()["submissions"] == 1


def out_of_time(actor: Actor) -> None:
    """The limit counts from the submission: a retry looks once, and waits no second time."""
    wait_until(partial(_was_late, actor), PATIENCE, actor.log, interval=0.5)
    before = paid_once(actor)["polls"]
    ended = actor.wait_state("failed", try_number=2)
    assert "not paying again" in actor.task.log(ended["try_number"])
    # Found, and looked at; in eight seconds more it would have been asked for every second.
    assert paid_once(actor)["polls"] - before <= 3
    assert before >= 1
    for number in (1, 2):
        assert "GptImgTimeoutError" in actor.task.log(number)
        assert f"[generation {paid_once(actor)['id']}: {BILLED}" in actor.task.log(number)


def given_up(actor: Actor, give_up: Callable[[], None], state: str) -> int:
    """What is left says in the log where the image is; return how often it has asked by then."""
    actor.wait_watched()
    give_up()
    actor.wait_state(state)

    def says() -> bool:
        return f"no longer waits for generation {paid_once(actor)['id']}" in actor.task.log()

    wait_until(says, PATIENCE, actor.task.log, interval=0.5)
    assert BILLED in actor.task.log()
    return int(paid_once(actor)["polls"])


def two_hours_pass(stack: AirflowStack, actor: Actor) -> None:
    """Let the actor's run be older than it may become."""
    then = datetime.now(timezone.utc) - timedelta(hours=2)
    run = actor.task.run
    engine = create_engine(stack.database_url)
    with engine.begin() as database:
        its_row = (DagRun.dag_id == run.dag_id) & (DagRun.run_id == run.run_id)
        database.execute(update(DagRun).where(its_row).values(start_date=then))
    engine.dispose()


def trigger_dies(actor: Actor) -> None:
    """The task that Airflow resumes only to fail it finds the image."""
    ended = actor.wait_success()
    said = ""
    for number in range(ended["try_number"]):
        with suppress(httpx.HTTPStatusError):  # of an attempt that the scheduler ended
            said += actor.task.log(number + 1)
    # It dies so soon that a busy scheduler may have failed its task by then (#66374).
    assert "Airflow stopped the wait" in said or ("not paying again" in said and ended["try_number"] > 1)
    assert "is completed with 1 image" in said
    paid_once(actor)


@dataclass
class Played:
    """How the stories ended, and the emulator whose images never come."""

    ends: dict[str, Future[Any]]
    actors: dict[str, Actor]
    never: Remote


@pytest.fixture(scope="module")
def played(
    airflow_stack: AirflowStack, emulator_process: Remote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """All stories, played side by side."""
    emulator_process.reset()
    folder = tmp_path_factory.mktemp("time_limits")
    with ExitStack() as processes:
        never, soon = (
            Remote(processes.enter_context(EmulatorProcess(folder / f"{name}.log", *AN_HOUR_EACH)).url)
            for name in ("never", "soon")
        )
        emulators = dict.fromkeys(NEVER_READY, never) | dict.fromkeys(LATE, soon)
        emulators |= dict.fromkeys(QUICKLY_READY, emulator_process)
        of_a_run = {"dagrun_timeout": emulators.pop("dagrun_timeout")}
        limited = Stage(airflow_stack, "time_limits_of_a_run", folder, of_a_run).actor("dagrun_timeout")
        stage = Stage(airflow_stack, "time_limits", folder, emulators)
        actors = {name: stage.actor(name) for name in emulators} | {"dagrun_timeout": limited}

        def time_passes() -> None:
            for name in LATE:
                wait_until(partial(_was_late, actors[name]), PATIENCE, actors[name].log, interval=0.5)
            soon.advance(2 * 3600)

        failed, success = actors["marked_failed"], actors["marked_success"]
        ends = side_by_side(
            {
                "time passes": time_passes,
                "late": partial(later_found, actors["late"], "GptImgTimeoutError"),
                "late_sync": partial(later_found, actors["late_sync"], "GptImgTimeoutError"),
                "execution_timeout": partial(later_found, actors["execution_timeout"], "GptImgTimeoutError"),
                "execution_timeout_sync": partial(
                    later_found, actors["execution_timeout_sync"], "AirflowTaskTimeout"
                ),
                "out_of_time": partial(out_of_time, actors["out_of_time"]),
                "marked_failed": partial(given_up, failed, partial(failed.task.mark, "failed"), "failed"),
                "marked_success": partial(
                    given_up, success, partial(success.task.mark, "success"), "success"
                ),
                "dagrun_timeout": partial(
                    given_up, limited, partial(two_hours_pass, airflow_stack, limited), "skipped"
                ),
                "trigger_dies": partial(trigger_dies, actors["trigger_dies"]),
            }
        )
        yield Played(ends, actors, never)


def _was_late(actor: Actor) -> bool:
    found = actor.task.details()
    return found["try_number"] > 1 or found["state"] == "up_for_retry"


@pytest.mark.parametrize("name", [*LATE, "out_of_time", *GIVEN_UP, "trigger_dies"])
def test_the_story_ends_as_told(name: str, played: Played) -> None:
    played.ends["time passes"].result()
    played.ends[name].result()


def test_the_service_hears_nothing_of_what_is_given_up(played: Played) -> None:
    """There is no way to cancel a generation, and nobody asks for it any more."""
    for name in GIVEN_UP:
        assert paid_once(played.actors[name])["polls"] == played.ends[name].result()
    requests = played.never.ledger()["requests"]
    assert requests["submit"] == len(NEVER_READY)
    assert requests["upload"] == requests["download"] == 0


def test_the_run_failed_in_time(played: Played) -> None:
    run = played.actors["dagrun_timeout"].task.run
    assert run.wait(PATIENCE) == "failed"
