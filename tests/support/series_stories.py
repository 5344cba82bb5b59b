"""Stories of retries and Clears, of changed requests and of a service that fails, forgets or is late.

Each plays one task of the DAG ``series``; its docstring is the rule that it proves.
"""

from __future__ import annotations

from collections.abc import Callable

from dev.airflow_run import FINAL_TASK_STATES
from tests.support.stage import Actor

Story = Callable[[Actor], None]
STORIES: dict[str, Story] = {}


def story(tell: Story) -> Story:
    STORIES[tell.__name__] = tell
    return tell


def ids(actor: Actor) -> list[str]:
    """Return the business ids that the task has paid under, without their ordinals, each once."""
    return list(dict.fromkeys(row["client_business_id"].rsplit("-", 1)[0] for row in actor.submissions()))


def ordinals(actor: Actor) -> list[int]:
    return [int(row["client_business_id"].rsplit("-", 1)[1]) for row in actor.submissions()]


def assert_paid(actor: Actor, *, series: int, submissions: int, or_again: bool = False) -> None:
    """Check what was paid.

    :param or_again: whether one more image is in order, of a series of its own.
    """
    more = len(ids(actor)) - series
    assert more in ((0, 1) if or_again else (0,)), actor.submissions()
    assert len(actor.submissions()) == submissions + more, actor.submissions()


# --- retry and Clear


@story
def retried(actor: Actor) -> None:
    """An automatic retry continues with the same generation."""
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


@story
def cleared_finished(actor: Actor) -> None:
    """A Clear of a finished task makes a new generation, which its own retries then continue."""
    actor.wait_success()
    actor.clear()
    actor.kill_at("after_post")
    actor.wait_success(try_number=3)
    assert_paid(actor, series=2, submissions=2)


@story
def cleared_failed(actor: Actor) -> None:
    """A Clear of a failed task goes on with what was paid.

    But where Airflow discards the task state, an image that was completed before the Clear counts as given.
    """
    actor.kill_at("after_post")
    actor.wait_state("failed")
    actor.clear()
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1, or_again=actor.forgets)


@story
def cleared_deferred(actor: Actor) -> None:
    """A Clear of a deferred task goes on with its generation."""
    actor.wait_state("deferred")
    actor.wait_watched()
    actor.clear()
    # On a busy machine the image may be completed before the Clear; then see ``cleared_failed``.
    is_given = actor.forgets and actor.submissions()[-1]["status"] == "completed"
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1, or_again=is_given)


@story
def cleared_in_triggerer(actor: Actor) -> None:
    """The same for a task that is to end in its triggerer; once it has ended there, a Clear pays again."""
    actor.wait_state("deferred")
    actor.clear()
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)
    actor.clear()
    actor.wait_success(try_number=3)
    assert_paid(actor, series=2, submissions=2)


@story
def cleared_again(actor: Actor) -> None:
    """A Clear after success makes a new generation; if its attempt fails, a Clear goes on with that."""
    actor.wait_success()
    actor.clear()
    actor.kill_at("after_post")
    actor.wait_state("failed", try_number=2)
    actor.clear()
    actor.wait_success(try_number=3)
    assert_paid(actor, series=2, submissions=2, or_again=actor.forgets)


@story
def continued(actor: Actor) -> None:
    """With on_clear="continue", a Clear after success returns the same images."""
    actor.wait_success()
    before = actor.task.xcom("generation_id")
    actor.clear()
    actor.wait_success(try_number=2)
    assert actor.task.xcom("generation_id") == before
    assert_paid(actor, series=1, submissions=1)


@story
def crashed_handed_on(actor: Actor) -> None:
    """A task that dies after it has handed its images on, before Airflow hears of it, pays nothing again."""
    actor.kill_at("handed_on")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


@story
def key_mended(actor: Actor) -> None:
    """A key that was wrong while the task waited: it fails, the key is mended, and a Clear pays nothing."""
    actor.wait_state("deferred")
    tail = actor.submissions()[0]["key_tail"]
    set_key(actor, f"sk-invalid-{tail}")
    actor.wait_state("failed")
    set_key(actor, f"sk-story-{tail}")
    actor.clear()
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1, or_again=actor.forgets)


def set_key(actor: Actor, key: str) -> None:
    name = f"story_{actor.task.task_id}"
    api = actor.task.run.api
    known = api.request("GET", f"/connections/{name}")
    changed = {
        **{part: known[part] for part in ("connection_id", "conn_type", "host", "extra")},
        "password": key,
    }
    api.request("PATCH", f"/connections/{name}", json=changed)


@story
def cleared_running(actor: Actor) -> None:
    """A Clear of a running task goes on with its generation."""
    actor.wait_reached("after_look")
    actor.clear()
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


@story
def cleared_running_without_retries(actor: Actor) -> None:
    """So does the Clear of a running task that has no retries."""
    cleared_running(actor)


@story
def bystander_unrecorded(actor: Actor) -> None:
    """A retry continues with its generation also when another task was cleared before the crash."""
    actor.wait_reached("after_post")
    clear_finished(actor.beside("neighbour_of_unrecorded"))
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


@story
def bystander_recorded(actor: Actor) -> None:
    """The same where the generation was written into the task state store."""
    actor.wait_reached("before_defer")
    clear_finished(actor.beside("neighbour_of_recorded"))
    actor.kill_at("before_defer")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


def clear_finished(actor: Actor) -> None:
    actor.wait_state(*FINAL_TASK_STATES)
    actor.clear()


@story
def upstream(actor: Actor) -> None:
    """A Clear with downstream makes both anew."""
    downstream = actor.beside("downstream")
    downstream.wait_success()
    actor.clear(include_downstream=True)
    actor.wait_success(try_number=2)
    downstream.wait_success(try_number=2)
    assert_paid(actor, series=2, submissions=2)
    assert_paid(downstream, series=2, submissions=2)


@story
def mapped(actor: Actor) -> None:
    """A Clear of one mapped task instance leaves the others alone."""
    tasks = [actor.beside("mapped", index) for index in range(3)]
    for task in tasks:
        task.wait_state("success")
    before = [task.task.xcom("generation_id") for task in tasks]
    tasks[1].clear()
    tasks[1].wait_state("success", try_number=2)
    after = [task.task.xcom("generation_id") for task in tasks]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert_paid(actor, series=4, submissions=4)


# --- what is asked for changes


@story
def changed_prompt(actor: Actor) -> None:
    """A retry with another prompt makes a new generation."""
    actor.wait_reached("after_post")
    set_variable(actor, "series_prompt", "a changed prompt")
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert actor.task.xcom()["prompt"].endswith("a changed prompt")
    assert_paid(actor, series=2, submissions=2)


@story
def changed_prompt_cleared(actor: Actor) -> None:
    """So does a Clear after the prompt was changed."""
    actor.wait_success()
    set_variable(actor, "series_prompt_cleared", "another changed prompt")
    actor.clear()
    actor.wait_success(try_number=2)
    assert actor.task.xcom()["prompt"].endswith("another changed prompt")
    assert_paid(actor, series=2, submissions=2)


def set_variable(actor: Actor, key: str, value: str) -> None:
    actor.task.run.api.request("PATCH", f"/variables/{key}", json={"key": key, "value": value})


# --- what the service does with it


@story
def failed_at_service(actor: Actor) -> None:
    """A generation that failed at the service was refunded: a retry makes the next one."""
    actor.wait_state("failed", try_number=2)
    assert_paid(actor, series=1, submissions=2)
    assert ordinals(actor) == [1, 2]
    assert all(row["refunded"] == row["billed"] > 0 for row in actor.submissions())
    assert "failed and was refunded; submitting again" in actor.log()


@story
def expired(actor: Actor) -> None:
    """A generation whose images are gone is made again."""
    actor.wait_status("completed")
    actor.emulator.advance(25 * 3600)
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=2)
    assert ordinals(actor) == [1, 2]
    assert "expired; submitting again" in actor.log()


@story
def not_durable(actor: Actor) -> None:
    """With durable=False every attempt makes a new generation."""
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=2, submissions=2)


@story
def seen_late(actor: Actor) -> None:
    """A generation that the look-up shows only after a while is found all the same."""
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)


@story
def ignored(actor: Actor) -> None:
    """Where the service ignores business ids and nothing was recorded, it works and says what it risks."""
    actor.kill_at("after_post")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=2)
    assert "is paid twice" in actor.log()


@story
def ignored_but_recorded(actor: Actor) -> None:
    """Where the service ignores business ids, Airflow's task state store (3.3) still finds the generation."""
    actor.kill_at("before_defer")
    actor.wait_success(try_number=2)
    assert_paid(actor, series=1, submissions=1)
