"""The demo: a real Airflow makes images, by default against the emulator.

Run it with ``make demo``. With ``GPTIMG_API_KEY`` in the environment it uses the real service.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from dev.demo_run import DemoRun
from dev.emulator import EmulatorProcess
from dev.processes import StartupError, WaitTimeoutError
from dev.stack import AirflowStack

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".demo"
DAG_ID = "example_gptimg_basic"
CONN_ID = "gptimg_default"


class Console:
    """Prints progress lines that start with the seconds since the demo began."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(f"[{time.monotonic() - self._start:6.1f}s] {text}", flush=True)


@contextlib.contextmanager
def fresh_home() -> Iterator[None]:
    """Empty the demo's directory and keep a second demo of this checkout out of it.

    Nothing from an earlier run is reused. Its database may belong to another Airflow or contain other paths,
    and a new one takes only seconds.
    """
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError("another demo of this checkout is running; end it first (Ctrl-C)") from None
        for entry in HOME.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        yield


def reach_service(console: Console, resources: contextlib.ExitStack) -> tuple[dict[str, Any], str | None]:
    """Return the Airflow connection to use, and the emulator's address, or None for the real service."""
    key = os.environ.get("GPTIMG_API_KEY")
    if key:
        console.say("GPTIMG_API_KEY is set: using the real service. These images cost money.")
        return {"conn_type": "gptimg", "password": key}, None
    url = resources.enter_context(EmulatorProcess(HOME / "logs" / "emulator.log")).url
    console.say(f"The emulator stands in for the image service: {url}")
    return {"conn_type": "gptimg", "host": url, "password": "sk-demo"}, url


def stay(stack: AirflowStack) -> None:
    """Keep everything up until Ctrl-C; end with an error if Airflow ends by itself."""
    with contextlib.suppress(KeyboardInterrupt):
        while stack.processes["standalone"].running():
            time.sleep(1)
        raise StartupError(f"Airflow ended:\n{stack.log_tails()}")


def demo(console: Console, *, leave: bool) -> bool:
    """Run the demo and return whether every image was made."""
    with contextlib.ExitStack() as resources:
        resources.enter_context(fresh_home())
        connection, emulator_url = reach_service(console, resources)
        stack = AirflowStack(
            HOME, CHECKOUT / "example_dags", connections={CONN_ID: connection}, standalone=True
        )
        console.say("Starting Airflow, which takes 10 to 40 seconds. Its output: .demo/logs/standalone.log")
        resources.callback(stack.stop_all, 2)
        resources.callback(console.say, "Stopping ...")
        stack.start_all()
        stack.wait_ready()
        console.say(f"Airflow is up: {stack.base_url} (no login needed)")

        run = stack.api.start_dag(DAG_ID, run_id="demo")
        console.say(f"{DAG_ID} has been triggered. Watch it in the browser: {run.url}")
        if emulator_url:
            console.say(f"The pictures appear at {emulator_url} too")
        made = DemoRun(run, console.say).follow()
        latest = f"{stack.base_url}/plugin/gptimg-latest"
        console.say(f'See them in Airflow, under "Images" in the menu: {latest}')
        if not leave:
            console.say("Everything stays up, to look around in the browser; Ctrl-C ends it")
            stay(stack)
        return made


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the run instead of at Ctrl-C")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console()
    try:
        made = demo(console, leave=options.exit)
    except KeyboardInterrupt:
        console.say("Stopped.")
        return 130
    except (StartupError, WaitTimeoutError, httpx.HTTPError) as error:
        console.say(f"The demo failed: {error}")
        return 1
    console.say("Stopped.")
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main())
