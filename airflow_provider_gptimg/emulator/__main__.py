"""The command ``gptimg-emulator``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import NoReturn

from airflow_provider_gptimg import __version__

_EXTRA = ("fastapi", "uvicorn", "python_multipart", "PIL")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        _fail(message, 2)


def main(arguments: list[str] | None = None) -> None:
    """Run the emulator until SIGINT or SIGTERM."""
    options = vars(_parser().parse_args(arguments))
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _fail(
            f"{', '.join(missing)} is not installed; run: pip install 'airflow-provider-gptimg[emulator]'", 1
        )

    from airflow_provider_gptimg.emulator.server import build_server, listen
    from airflow_provider_gptimg.emulator.settings import Settings
    from airflow_provider_gptimg.emulator.state import Emulator
    from airflow_provider_gptimg.emulator.state_file import StateFile, StateFileError

    host, port, path = options.pop("host"), options.pop("port"), options.pop("state", None)
    if not 0 <= port <= 65_535:  # the system would listen on another port instead of complaining
        _fail(f"port must be from 0 to 65535, not {port}", 2)
    try:
        settings = Settings(**options)
    except ValueError as error:
        _fail(str(error), 2)
    try:
        sock, url = listen(host, port)
    except OSError as error:
        _fail(f"cannot listen on {host} port {port}: {error}", 1)
    try:
        file = StateFile(path) if path else None
        emulator = Emulator(settings, state_file=file)
    except StateFileError as error:
        _fail(str(error), 1)
    build_server(emulator, lambda: _say(f"listening on {url}")).run(sockets=[sock])
    if file is not None:
        file.close()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gptimg-emulator",
        description="The gpt-image-2 service on your own machine: same API, real pictures, play money.",
        epilog="Any key that starts with sk- is valid; sk-invalid… is refused, sk-broke… has no money, "
        "sk-unlimited… has no quota of its own. "
        "A prompt containing [refuse] is refused, [fail] fails, [slow] takes ten times as long.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=8787, help="port to listen on, 0 for a free one")
    add("--seed", type=int, default=0, help="seed for pictures, latencies and random faults")
    add("--latency-median", type=float, default=4.0, metavar="S", help="median time of a generation, seconds")
    add("--latency-sigma", type=float, default=0.35, metavar="X", help="spread of the log-normal latency")
    add("--rate-limit", default="default", metavar="GROUP", help="default, vip, svip or off")
    add("--balance", type=float, default=10.0, help="money in the account, dollars")
    add(
        "--lookup-lag",
        type=float,
        default=0.0,
        metavar="S",
        help="time until a business id can be found, seconds",
    )
    add("--ignore-business-id", action="store_true", help="ignore business ids, as some services do")
    add("--strict-user-agent", action="store_true", help="answer 403 to library-default user agents")
    add(
        "--size-table",
        default="standard",
        metavar="TABLE",
        help="standard, or full: all 13 ratios at 1K to 4K",
    )
    add(
        "--shapes",
        type=_names,
        default=argparse.SUPPRESS,
        metavar="NAME,...",
        help="other answer formats that real services use, such as images,numeric-codes",
    )
    add(
        "--state",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="keep the state in this file across restarts",
    )
    add("--version", action="version", version=__version__)
    return parser


def _names(text: str) -> tuple[str, ...]:
    """Read names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _say(line: str) -> None:
    """Print a line. If nobody reads the output any more, go on without it."""
    try:
        print(line, flush=True)  # noqa: T201
    except OSError:
        # At exit Python flushes the rest, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"gptimg-emulator: {message}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
