"""``python -m airflow_provider_gptimg.cli``: the commands, for an ``airflow`` without provider commands."""

from __future__ import annotations

import argparse

from airflow_provider_gptimg.cli import commands


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    args = command_parser().parse_args(arguments)
    args.func(args)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_gptimg.cli", description=__doc__)
    parser.add_argument("--conn-id", default="gptimg_default", help="a connection of type gptimg")
    actions = parser.add_subparsers(required=True)
    fetch = actions.add_parser("fetch", help="store the images of a generation; costs nothing")
    fetch.add_argument("generation_id", help="its id, or its client_business_id (af-…)")
    fetch.add_argument("--output-path", required=True, help="a folder, as a path or URI")
    fetch.set_defaults(func=commands.fetch)
    balance = actions.add_parser("balance", help="show the balance of a connection's key and account")
    balance.set_defaults(func=commands.balance)
    return parser


if __name__ == "__main__":
    main()
