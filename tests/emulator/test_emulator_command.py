"""The command line, as a process of its own; the fixture; the programmatic server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from airflow_provider_gptimg.emulator import __main__ as command
from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.emulator.server import EmulatorServer
from airflow_provider_gptimg.emulator.settings import Settings
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.submission import parse_submission
from tests.support.emulator_process import COMMAND, running


def refused(*options, code):
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_cleanly(number):
    options = (
        "--port",
        "0",
        "--seed",
        "7",
        "--latency-median",
        "0",
        "--balance",
        "0.05",
        "--rate-limit",
        "vip",
        "--size-table",
        "full",
        "--shapes",
        "images, no-billing",
    )
    with running(*options) as process:
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        remote = Remote(line.removeprefix("listening on ").strip())
        settings = remote.configure()
        assert (settings["seed"], settings["balance"], settings["rate_limit"]) == (7, 0.05, "vip")
        assert (settings["size_table"], settings["shapes"]) == ("full", ["images", "no-billing"])
        assert remote.ledger()["balance"] == 0.05
        # A request that hangs must not keep the process.
        remote.faults([{"on": "status", "kind": "hang"}])
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2]))) as hanging:
            hanging.sendall(b"GET /v1/images/generations/x HTTP/1.1\r\nHost: x\r\n\r\n")
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_nobody_reads_where_it_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port)], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    try:
        for _ in range(300):
            try:
                ledger = Remote(f"http://127.0.0.1:{port}").ledger()
                break
            except OSError:
                time.sleep(0.1)
        assert ledger["submissions"] == []
        process.terminate()
        assert process.communicate(timeout=20)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        message = refused("--port", str(taken.getsockname()[1]), code=1)
    assert "cannot listen on 127.0.0.1 port" in message
    assert "in use" in message


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--latency-median", "-1"), "latency_median must be"),
        (("--latency-sigma", "nan"), "latency_sigma must be"),
        (("--balance", "inf"), "balance must be"),
        (("--balance", "much"), "invalid float value"),
        (("--rate-limit", "gold"), "rate_limit must be one of default, vip, svip, off"),
        (("--lookup-lag", "-0.1"), "lookup_lag must be"),
        (("--size-table", "huge"), "size_table must be one of standard, full"),
        (("--shapes", "images,round"), "shapes must be among url, images"),
        (("--unknown",), "unrecognized arguments"),
        (("--port", "-1"), "port must be from 0 to 65535"),
        (("--port", "70000"), "port must be from 0 to 65535"),
    ],
)
def test_options_that_make_no_sense(capsys, options, complaint):
    with pytest.raises(SystemExit) as caught:
        command.main(["--port", "0", *options])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("gptimg-emulator: ")
    assert message.count("\n") == 1
    assert complaint in message


def test_without_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "PIL" else object())
    with pytest.raises(SystemExit) as caught:
        command.main([])
    assert caught.value.code == 1
    assert "pip install 'airflow-provider-gptimg[emulator]'" in capsys.readouterr().err


def test_the_fixture_without_the_extra(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(gptimg_emulator): pass")
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['uvicorn'] = None")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "uvicorn is not installed; run: pip install 'airflow-provider-gptimg[emulator]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, airflow_provider_gptimg.emulator.pytest_plugin;"
        "print({'fastapi', 'uvicorn', 'PIL', 'pydantic', 'airflow', 'httpx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_emulator_shares_no_code_with_the_client():
    code = (
        "import sys, airflow_provider_gptimg.emulator.server;"
        "import airflow_provider_gptimg.emulator.painting.painter;"
        "print([name for name in sys.modules if name in ('airflow', 'httpx') or"
        " name.startswith('airflow_provider_gptimg.') and '.emulator' not in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_fixture(gptimg_emulator):
    connection = json.loads(gptimg_emulator.airflow_connection)
    assert connection == {
        "conn_type": "gptimg",
        "host": gptimg_emulator.base_url,
        "password": "sk-emulator",
    }
    assert gptimg_emulator.url == gptimg_emulator.base_url
    before = gptimg_emulator.advance(0)
    assert 100 <= gptimg_emulator.advance(100) - before < 130
    with pytest.raises(ValueError, match="rate_limit"):
        gptimg_emulator.configure(rate_limit="gold")
    settings = gptimg_emulator.configure(seed=3)
    assert (settings["rate_limit"], settings["latency_median"], settings["seed"]) == ("off", 0.05, 3)


@pytest.mark.parametrize("before", [None, '{"conn_type": "gptimg", "password": "sk-real"}'])
def test_the_fixture_is_the_default_connection_for_the_test(tmp_path, before):
    (tmp_path / "test_it.py").write_text(
        "import os\n"
        "def test_it(gptimg_emulator, monkeypatch):\n"
        "    monkeypatch.undo()\n"
        "    assert os.environ['AIRFLOW_CONN_GPTIMG_DEFAULT'] == gptimg_emulator.airflow_connection\n"
        "def test_that_has_no_emulator():\n"
        f"    assert os.environ.get('AIRFLOW_CONN_GPTIMG_DEFAULT') == {before!r}\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own = {} if before is None else {"AIRFLOW_CONN_GPTIMG_DEFAULT": before}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={**inherited, **own, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_fixture_again(gptimg_emulator):
    assert gptimg_emulator.configure()["seed"] == 0
    assert gptimg_emulator.ledger()["submissions"] == []


def test_two_servers_side_by_side():
    with EmulatorServer(balance=1.0) as first, EmulatorServer(balance=2.0) as second:
        assert first.base_url != second.base_url
        assert (first.ledger()["balance"], second.ledger()["balance"]) == (1.0, 2.0)
        first.faults([{"on": "status", "kind": "hang"}])
        host, port = first.base_url.removeprefix("http://").split(":")
        hanging = socket.create_connection((host, int(port)))
        hanging.sendall(b"GET /v1/images/generations/x HTTP/1.1\r\nHost: x\r\n\r\n")
    hanging.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        urllib.request.urlopen(first.base_url, timeout=5)


def test_impossible_settings():
    with pytest.raises(ValueError, match="latency_median"):
        EmulatorServer(latency_median=-1)


def test_latencies_are_log_normal_and_repeatable():
    fox = {"model": "gpt-image-2", "prompt": "a fox"}

    def latencies(seed: int) -> list[float]:
        emulator = Emulator(Settings(seed=seed, latency_median=4.0, latency_sigma=0.5), Clock(lambda: 1e9))
        drawn = []
        for _ in range(400):
            task = emulator.submit(parse_submission(fox, "standard"), "sk-test")
            drawn.append(task.finishes_at - task.accepted_at)
        return sorted(drawn)

    first = latencies(1)
    assert first == latencies(1) != latencies(2)
    assert 3.5 < first[200] < 4.5
    assert 4 * 2.0 < first[380] < 4 * 2.7  # the 95th percentile is exp(1.64 * 0.5) = 2.3 medians
