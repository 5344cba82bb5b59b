"""What a retry continues and what is made anew, with the real scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial

import pytest

from airflow_provider_gptimg.emulator.remote import Remote
from dev.airflow_run import DagRun
from dev.emulator import EmulatorProcess
from dev.processes import wait_until
from dev.stack import AirflowStack
from tests.support.series_stories import STORIES
from tests.support.stage import CLEARS_FORGET, PATIENCE, Stage, open_account, side_by_side, write

LAG = 8
"""Seconds for which a look-up does not see a submission: a retry comes sooner."""

QUICK = ("--latency-median", "2", "--latency-sigma", "0.1", "--rate-limit", "off")


@pytest.fixture(scope="module", params=["state_as_cleared", "state_kept"])
def stories(
    request: pytest.FixtureRequest,
    airflow_stack: AirflowStack,
    emulator_process: Remote,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """All stories of the DAG ``series``, played in one run: each must bear the Clears of the others.

    Airflow 3.4 forgets the task state of what is cleared, unless it is asked to keep it. Both are played.
    """
    keeps = request.param == "state_kept"
    if keeps and not CLEARS_FORGET:
        pytest.skip("The Clear of this Airflow has no choice whether to keep the task state")
    emulator_process.reset()
    folder = tmp_path_factory.mktemp("series")
    with ExitStack() as processes:

        def emulator(name: str, *options: str) -> Remote:
            process = EmulatorProcess(folder / f"{name}.log", *QUICK, *options)
            return Remote(processes.enter_context(process).url)

        ignoring = emulator("ignoring", "--ignore-business-id")
        cast = [*STORIES, "neighbour_of_unrecorded", "neighbour_of_recorded", "downstream"]
        emulators = dict.fromkeys(cast, emulator_process)
        emulators |= {"ignored": ignoring, "ignored_but_recorded": ignoring}
        emulators |= {"expired": emulator("ageing"), "seen_late": emulator("late", "--lookup-lag", str(LAG))}
        for key in ("series_prompt", "series_prompt_cleared"):
            write(airflow_stack, "variables", {"key": key, "value": "a prompt"})
        options = {"keep_task_state": True} if keeps else {}
        stage = Stage(airflow_stack, "series", folder, emulators, options)
        acts = {name: partial(tell, stage.actor(name)) for name, tell in STORIES.items()}
        yield side_by_side(acts)
        airflow_stack.kill_tasks()  # of stories that failed


@pytest.mark.parametrize("name", STORIES)
def test_it_pays_as_told(name, stories):
    stories[name].result()


def test_a_backfill_pays_once_for_each_run(airflow_stack: AirflowStack, emulator_process: Remote) -> None:
    """A backfill pays once for each run; a Clear of a run and a repeated backfill pay again."""
    api, dag_id = airflow_stack.api, "series_backfill"
    api.wait_dag(dag_id)
    api.unpause(dag_id)
    submissions = open_account(airflow_stack, "backfilled", emulator_process)

    def backfill(**options: str) -> list[DagRun]:
        """Backfill three days and return the three runs once they have ended."""
        days = {"from_date": "2020-01-01T00:00:00Z", "to_date": "2020-01-03T00:00:00Z"}
        asked = api.request("POST", "/backfills", json={"dag_id": dag_id, **days, **options})
        path = f"/backfills/{asked['id']}"
        wait_until(lambda: api.request("GET", path)["completed_at"], PATIENCE, api.evidence, interval=0.5)
        found = api.collect(f"/dags/{dag_id}/dagRuns", "dag_runs")
        assert [run["state"] for run in found] == ["success"] * 3
        return [DagRun(api, dag_id, run["dag_run_id"]) for run in found]

    runs = backfill()
    assert len(submissions()) == 3

    api.request("POST", f"{runs[0].path}/clear", json={"dry_run": False, "only_failed": False})
    runs[0].task("backfilled").wait("running", "deferred", timeout=PATIENCE)
    assert runs[0].wait(PATIENCE) == "success"
    assert len(submissions()) == 4

    backfill(reprocess_behavior="completed")
    paid = submissions()
    assert len(paid) == len({row["client_business_id"] for row in paid}) == 7
