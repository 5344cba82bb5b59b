"""The code of the commands; the same for ``airflow gptimg`` and ``python -m airflow_provider_gptimg.cli``."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import PurePosixPath
from types import SimpleNamespace

from airflow_provider_gptimg.exceptions import GptImgError, translated
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.storage import Storage, check_folder
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.result import NOTHING_ASKED, collect


def fetch(args: Namespace) -> None:
    """Wait for a generation, store its images, and print where each one is. This costs nothing."""
    try:
        hook = GptImgHook(args.conn_id)
        with translated():
            check_folder(args.output_path)
        generation = hook.get_generation(args.generation_id)
        if not generation.is_final:
            _say(f"Generation {generation.id} is {generation.status}. Waiting for it.")
            generation = hook.wait(generation.id)
        # The names contain the generation, so that a second call writes the same files.
        file = SimpleNamespace(task_id=PurePosixPath(generation.id).name, map_index=-1)
        storage = Storage(
            folder=args.output_path,
            names=FileNames.of("{task_id}-{index}.{format}", file, "0" * 40),
            settings=hook.settings,
            size=None,
        )
        with translated():
            result = collect(generation, NOTHING_ASKED, storage.store, prices=hook.settings.prices)
    except GptImgError as error:
        sys.exit(f"{error}")
    for url in result["urls"]:
        _say(url)


def balance(args: Namespace) -> None:
    """Print the balance of a connection."""
    try:
        found = GptImgHook(args.conn_id).balance()
    except GptImgError as error:
        sys.exit(f"{error}")
    key = "unlimited" if found.key_unlimited or found.key_usd is None else f"{found.key_usd:.2f} USD"
    account = "unknown" if found.account_usd is None else f"{found.account_usd:.2f} USD"
    _say(f"key: {key}\naccount: {account}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
