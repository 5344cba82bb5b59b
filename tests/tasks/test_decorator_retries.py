"""``@task.gptimg``: a function that returns something else each time, and an image that is paid for once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_gptimg.tasks import deferral
from tests.support.airflow_versions import dag_test_keeps_deferrals, is_first, serialize, skip_retries
from tests.support.dags import taskflow
from tests.support.service import GENERATION_ID, Script
from tests.support.taskflow_runs import COMPLETED, RUNNING, URL, player

pytestmark = pytest.mark.usefixtures("database", "quick")

remembers = pytest.mark.skipif(
    find_spec("airflow.sdk.bases.resumablejobmixin") is None, reason="this Airflow has no task state store"
)


@pytest.fixture(autouse=True)
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with player(monkeypatch) as play:
        yield play


@pytest.mark.parametrize("way", ["sync", "deferred", "ended"])
def test_one_attempt_calls_the_function_once(way: str, play: Any) -> None:
    played = play(way, Script(status=[RUNNING, COMPLETED]))
    assert len(taskflow.calls) == 1
    assert played.sent[0]["prompt"] == "A fox, number 1"
    if way != "sync" or not is_first():  # whose dag.test() keeps no rendered fields then
        assert played.rendered()["prompt"] == "A fox, number 1"
    assert played.xcom()["prompt"] == "A fox, number 1"


@pytest.fixture
def slow(play: Any) -> Script:
    """A service that is too slow for the first attempt."""
    script = Script(status=[RUNNING])
    taskflow.before_retry.append(lambda: script.status.__setitem__(0, COMPLETED))
    return script


@remembers
@pytest.mark.parametrize("way", ["sync_retried", "deferred_retried", "ended_retried"])
def test_a_retry_goes_on_with_what_was_returned(way: str, play: Any, slow: Script) -> None:
    played = play(way, slow)
    assert (played.ti().state, played.ti().try_number, len(taskflow.calls)) == ("success", 2, 1)
    assert [sent["prompt"] for sent in played.sent] == ["A fox, number 1"]
    assert played.xcom()["prompt"] == played.rendered()["prompt"] == "A fox, number 1"


@pytest.mark.parametrize("way", ["sync_forgetful", "deferred_forgetful", "ended_forgetful"])
def test_a_retry_with_another_prompt_finds_what_was_paid_for(way: str, play: Any, slow: Script) -> None:
    skip_retries()
    played = play(way, slow)
    assert (played.ti().state, played.ti().try_number, len(taskflow.calls)) == ("success", 2, 2)
    (sent,) = played.sent
    assert sent["prompt"] == "A fox, number 1"
    looked_up = {path.rsplit("/", 1)[1] for method, path, *_ in slow.received if method == "GET"}
    assert looked_up == {GENERATION_ID, sent["client_business_id"]}
    assert played.xcom("generation_id") == played.xcom()["generation_id"] == GENERATION_ID


@remembers
def test_what_is_paid_for_is_not_lost_when_the_function_would_now_return_nonsense(
    play: Any, slow: Script
) -> None:
    played = play("wrong_again", slow)
    assert (played.ti().state, played.xcom("urls")) == ("success", [URL])


def stored(
    way: str, emulator: Any, monkeypatch: pytest.MonkeyPatch, folder: Path, calls: int = 1
) -> dict[str, int]:
    """Run a DAG that stores an image, and return how many files lie in which folder."""
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    serialize(taskflow.dags[way])
    run = taskflow.dags[way].test(run_conf={"folder": str(folder)})
    assert run.get_task_instance("draw").state == "success"
    assert (len(taskflow.calls), len(emulator.ledger()["submissions"])) == (calls, 1)
    return {path.name: len(list(path.iterdir())) for path in folder.iterdir()}


def test_stored_where_the_function_says(
    gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert stored("stored", gptimg_emulator, monkeypatch, tmp_path) == {"returned": 1}


class Sieve(dict[Any, Any]):
    """Keeps nothing, as another process would have nothing of this one."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


@pytest.mark.parametrize(
    ("way", "calls"), [pytest.param("stored", 1, marks=remembers), ("stored_forgetful", 2)]
)
def test_stored_although_the_deferral_lost_what_the_function_returned(
    way: str, calls: int, gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deferral, "_IN_PROCESS", Sieve())
    if dag_test_keeps_deferrals():
        calls = 1
    assert stored(way, gptimg_emulator, monkeypatch, tmp_path, calls) == {"returned": 1}
