"""The commands as Airflow lists them. Its command line loads this at every start, so it imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_gptimg_cli_commands() -> list[CLICommand]:
    """Return the commands below ``airflow gptimg`` (Airflow 3.2 and later)."""
    from airflow.cli import cli_config
    from airflow.cli.cli_config import ActionCommand, GroupCommand, lazy_load_command

    argument: Any = cli_config.Arg  # has no types

    conn_id = argument(("--conn-id",), help="The connection, of type gptimg", default="gptimg_default")
    return [
        GroupCommand(
            name="gptimg",
            help="Images of the gpt-image-2 service",
            subcommands=[
                ActionCommand(
                    name="fetch",
                    help="Store the images of a generation that was paid for; this costs nothing",
                    func=lazy_load_command("airflow_provider_gptimg.cli.commands.fetch"),
                    args=(
                        argument(("generation_id",), help="Its id, or its client_business_id (af-…)"),
                        argument(("--output-path",), help="A folder, as a path or URI", required=True),
                        conn_id,
                    ),
                ),
                ActionCommand(
                    name="balance",
                    help="Show the balance of a connection's key and account",
                    func=lazy_load_command("airflow_provider_gptimg.cli.commands.balance"),
                    args=(conn_id,),
                ),
            ],
        )
    ]
