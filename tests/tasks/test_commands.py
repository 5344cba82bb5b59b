"""The commands for the day when nothing else helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_gptimg.cli import definition
from airflow_provider_gptimg.cli.__main__ import main
from airflow_provider_gptimg.hooks.gptimg import GptImgHook


def test_fetch_stores_what_was_paid_and_pays_nothing(
    gptimg_emulator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generation = GptImgHook().submit("A fox", n=2, client_business_id="af-mine-1")
    for name in (generation.id, "af-mine-1"):
        main(["fetch", name, "--output-path", str(tmp_path)])
        stored = [Path(line) for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
        assert [Image.open(path).size for path in stored] == [(1024, 1024)] * 2
    assert len(list(tmp_path.iterdir())) == 2, "the same names each time"
    assert len(gptimg_emulator.ledger()["submissions"]) == 1


def test_fetch_says_what_is_wrong(gptimg_emulator: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="task_img_unknown"):
        main(["fetch", "task_img_unknown", "--output-path", str(tmp_path)])


def test_balance_tells_key_and_account_apart(
    gptimg_emulator: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["balance"])
    printed = capsys.readouterr().out  # Airflow 3.0 logs there too
    assert printed.splitlines()[-2:] == ["key: 10.00 USD", "account: 10.00 USD"]


def test_airflow_lists_them() -> None:
    (group,) = definition.get_gptimg_cli_commands()
    assert [command.name for command in group.subcommands] == ["fetch", "balance"]
