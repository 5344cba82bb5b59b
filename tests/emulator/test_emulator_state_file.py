"""``--state FILE``: what was answered is still true after a kill."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.emulator.server import EmulatorServer
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.state_file import StateFile, StateFileError
from airflow_provider_gptimg.emulator.submission import parse_submission
from tests.support.emulator_client import Service
from tests.support.emulator_process import COMMAND, address_of, running

OPTIONS = ("--port", "0", "--latency-median", "1000", "--latency-sigma", "0", "--rate-limit", "off")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "emulator.state"


@contextmanager
def emulator(path, *options):
    """An emulator as a process, killed at the end without a chance to write anything."""
    with running(*OPTIONS, *options, "--state", str(path)) as process:
        yield Service(Remote(address_of(process)))


def test_everything_is_there_after_a_kill(path):
    with emulator(path, "--balance", "5") as before:
        uploaded = before.upload(b"GIF89a").json["data"]["url"]
        done = before.submit(client_business_id="af-1", n=2, reference_images=[uploaded]).json["id"]
        failed = before.submit(prompt="[fail] 狐").json["id"]
        before.remote.advance(1001)
        running_on = before.submit(size="16:9", resolution="4K").json["id"]
        answers = {name: before.status(name).json for name in (done, failed, running_on, "af-1")}
        urls = [urlsplit(image["url"]).path for image in answers[done]["result"]["data"]]
        pictures = [before.get(url).body for url in urls]
        ledger, now = before.remote.ledger(), before.remote.advance(0)

    with emulator(path) as after:
        assert after.remote.ledger() == ledger
        assert 0 <= after.remote.advance(0) - now < 60
        for name, answer in answers.items():
            again = after.status(name).json
            for changing in ("progress", "result"):
                assert (changing in again) == (changing in answer)
                again.pop(changing, None), answer.pop(changing, None)
            assert again == answer
        assert [after.get(url).body for url in urls] == pictures
        assert after.get(urlsplit(uploaded).path).body == b"GIF89a"
        assert after.remote.configure()["balance"] == 4.945
        after.remote.advance(86_400)
        assert after.get(urls[0]).status == 410


def test_a_failed_task_is_refunded_once_although_nobody_looked(path):
    with emulator(path) as before:
        before.submit(prompt="[fail]")
    for _ in range(2):
        with emulator(path) as after:
            after.remote.advance(1001)
            assert after.remote.ledger()["balance"] == 10.0


def test_a_kill_in_the_middle_of_work_loses_nothing_that_was_answered(path):
    answered = []

    def submit(service):
        while True:
            try:
                answered.append(service.submit(client_business_id=f"af-{len(answered)}").json["id"])
            except (OSError, ValueError):
                return

    with emulator(path) as before:
        threads = [threading.Thread(target=submit, args=(before,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(answered) < 50:
            time.sleep(0.01)
    for thread in threads:
        thread.join()

    with emulator(path) as after:
        ledger = after.remote.ledger()
        kept = {line["id"] for line in ledger["submissions"]}
        assert set(answered) <= kept
        assert len(kept) <= len(answered) + len(threads)  # accepted, and killed before the answer
        assert ledger["balance"] == pytest.approx(10 - 0.015 * len(kept))


def test_an_accepted_submission_whose_answer_was_lost_is_kept(path):
    with emulator(path) as before:
        before.remote.faults([{"on": "submit", "kind": "reset_after"}])
        with pytest.raises(ConnectionResetError):
            before.submit(client_business_id="af-1")
    with emulator(path) as after:
        assert after.status("af-1").status == 200


def test_a_reset_is_kept_too(path):
    with emulator(path) as before:
        before.submit()
        before.upload(b"GIF89a")
        before.remote.advance(5000)
        before.remote.reset()
        second = before.submit().json["id"]
    with emulator(path) as after:
        assert [line["id"] for line in after.remote.ledger()["submissions"]] == [second]
        assert abs(after.remote.advance(0) - time.time()) < 60


def test_what_is_forgotten_is_forgotten_in_the_file(path):
    fox = parse_submission({"model": "gpt-image-2", "prompt": "a fox"}, "standard")

    def work(days: int) -> tuple[int, int]:
        file = StateFile(path)
        state = Emulator(clock=Clock(lambda: 1e9), state_file=file)
        state.configure({"balance": 1e6, "latency_median": 0.0})
        for _ in range(days):
            for _ in range(600):
                state.submit(fox, "sk-1")
            state.upload(b"GIF89a")
            state.clock.advance(4 * 86_400)
            state.settle()
            state.keep()
        file.close()
        with sqlite3.connect(path) as database:
            tables = ("tasks", "uploads")
            tasks, uploads = (database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables)
        database.close()
        return tasks, uploads

    assert work(5) == (1_000, 0)
    assert work(1) == (1_000, 0)


def test_the_server_in_a_thread(path):
    with EmulatorServer(state=path, latency_median=0.0) as server:
        generation_id = Service(server).submit().json["id"]
    with EmulatorServer(state=str(path)) as server:
        assert Service(server).status(generation_id).json["status"] == "completed"


def test_one_emulator_at_a_time(path):
    with emulator(path):
        done = subprocess.run(
            [*COMMAND, *OPTIONS, "--state", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == f"gptimg-emulator: cannot keep the state in {path}: another emulator uses it\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"not a database, but a text " * 100, "not a database"),
        (None, "its folder does not exist"),
        ("CREATE TABLE other (x)", "it is a database of another program"),
        ("PRAGMA user_version = 2", "a newer version of the emulator wrote it"),
        ("UPDATE tasks SET task = '{}'", "it is damaged"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_files_that_cannot_be_used(path, content, complaint):
    if content is None:
        path = path.parent / "nowhere" / path.name
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        if "CREATE" not in content:
            with EmulatorServer(state=path) as server:
                Service(server).submit()
        with sqlite3.connect(path) as database:
            database.execute(content)
        database.close()
    with pytest.raises(StateFileError, match=complaint) as caught:
        EmulatorServer(state=path)
    assert str(path) in str(caught.value)
