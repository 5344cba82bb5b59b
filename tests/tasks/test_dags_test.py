"""`airflow dags test` of the Airflow versions that `make test` does not have: for `make matrix`."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from dev.airflow_env import inherited_environment

DAG = """
from airflow.sdk import DAG
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

with DAG("postcards", schedule=None):
    GptImgGenerateOperator(task_id="draw", prompt="A lighthouse")
"""


@pytest.mark.skipif(
    Version(version("apache-airflow")) >= Version("3.3"), reason="The test of the quickstart runs it"
)
def test_it_ends_without_a_traceback(tmp_path: Path, gptimg_emulator: Any) -> None:
    """The triggers of Airflow 3.2 do not see a connection of the database."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "postcards.py").write_text(DAG)
    env = {
        **inherited_environment(),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def airflow(*arguments: str) -> str:
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    airflow("db", "migrate")
    account = ("--conn-type", "gptimg", "--conn-password", "sk-test", "--conn-host", gptimg_emulator.base_url)
    airflow("connections", "add", "gptimg_default", *account)
    said = airflow("dags", "test", "postcards")
    assert "Traceback" not in said
    [submission] = gptimg_emulator.ledger()["submissions"]
    assert submission["status"] == "completed"
