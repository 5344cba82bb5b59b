"""The programs of the page "What it costs" find in a real Airflow what the service has billed."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from tests.support.documentation import DOCS, blocks


@pytest.fixture
def program(tmp_path):
    """Return a function that runs a program of the page and returns what it prints: dollars and a number."""
    sources = {block.file: block.text for block in blocks("python") if block.page == DOCS / "costs.md"}

    def run(name, *arguments):
        path = tmp_path / name
        path.write_text(sources[name])
        month = datetime.now(timezone.utc).strftime("%Y-%m")
        done = subprocess.run(
            [sys.executable, str(path), *arguments, month], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        usd, count = re.findall(r"^([\d.]+) USD for (\d+) ", done.stdout, re.MULTILINE)[-1]
        return float(usd), int(count)

    return run


def billed(emulator):
    rows = emulator.ledger()["submissions"]
    return sum(row["billed"] - row["refunded"] for row in rows)


def test_asset_events_add_up_to_the_bill(airflow_stack, emulator, write_dag, program):
    api = airflow_stack.api
    arguments = (airflow_stack.base_url, api.token())
    usd_before, count_before = program("reconcile_events.py", *arguments)
    write_dag(
        "billed",
        """
        from airflow.sdk import DAG, Asset
        from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

        with DAG("billed", schedule=None):
            for number, resolution in enumerate(["1K", "2K"], start=1):
                GptImgGenerateOperator(
                    task_id=resolution,
                    prompt="a card",
                    size="1:1",
                    resolution=resolution,
                    n=number,
                    outlets=[Asset(f"s3://cards/{resolution}")],
                )
        """,
    )
    run = api.start_dag("billed")
    assert run.wait(120) == "success", run.describe()
    usd, count = program("reconcile_events.py", *arguments)
    assert (round(usd - usd_before, 3), count - count_before) == (round(billed(emulator), 3), 2)
    assert billed(emulator) == pytest.approx(0.015 + 2 * 0.02)


def test_manifests_add_up_to_the_bill(airflow_stack, emulator, write_dag, program, tmp_path):
    write_dag(
        "billed_batch",
        f"""
        from airflow.sdk import DAG
        from airflow_provider_gptimg.operators.batch import GptImgBatchOperator

        with DAG("billed_batch", schedule=None):
            GptImgBatchOperator(
                task_id="cards",
                items=["a card", "another card", "[fail] a third card"],
                output_path="{tmp_path}/cards",
                on_item_error="continue",
            )
        """,
    )
    run = airflow_stack.api.start_dag("billed_batch")
    assert run.wait(120) == "success", run.describe()
    usd, count = program("reconcile_manifests.py", f"{tmp_path}/cards")
    assert (usd, count) == (0.03, 2)
    assert billed(emulator) == pytest.approx(usd)
