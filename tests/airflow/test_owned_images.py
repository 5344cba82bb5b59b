"""The cache on a real Airflow: the daily catalogue for two nights, and a Clear of what was taken from it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.stage import CLEARS_FORGET

CATALOGUE = "example_gptimg_daily_catalogue"


def paid(emulator):
    return len(emulator.ledger()["submissions"])


def test_the_second_night_of_the_catalogue_pays_for_what_changed(airflow_stack, emulator, tmp_path):
    api = airflow_stack.api
    products = tmp_path / "products.csv"
    rows = [f"sku-{number},a cup number {number},1:1" for number in range(6)]
    products.write_text("\n".join(["sku,text,size", *rows]))
    conf = {"folder": tmp_path.as_uri()}
    first = api.start_dag(CATALOGUE, conf=conf)
    assert first.wait(180) == "success", first.describe()
    assert first.task("pictures").xcom()["cached"] == 0
    products.write_text("\n".join(["sku,text,size", *rows[:5], "sku-5,a red cup,1:1"]))
    second = api.start_dag(CATALOGUE, conf=conf)
    assert second.wait(180) == "success", second.describe()
    api.pause(CATALOGUE)  # its schedule starts a run at midnight
    result = second.task("pictures").xcom()
    assert (result["cached"], result["submissions"], result["completed"]) == (5, 1, 6)
    assert result["saved_usd"] == pytest.approx(5 * 0.015)
    assert paid(emulator) == 7
    text = Path(urlsplit(second.task("contact_sheet").xcom()).path).read_text()
    assert text.count("<img") == 6
    assert text.count("(new)") == 1


def test_a_clear_makes_a_new_image_and_replaces_the_entry(airflow_stack, emulator, write_dag, tmp_path):
    write_dag(
        "owned",
        f"""
        from airflow.sdk import DAG
        from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator

        with DAG("owned", schedule=None):
            GptImgGenerateOperator(task_id="cover", prompt="a cover", cache_path="{tmp_path}/cache")
        """,
    )
    api = airflow_stack.api

    def ran():
        run = api.start_dag("owned")
        assert run.wait(120) == "success", run.describe()
        return run

    first, second = ran(), ran()
    known = first.task("cover").xcom()["generation_id"]
    taken = second.task("cover").xcom()
    assert (taken["cached"], taken["generation_id"]) == (True, known)
    assert paid(emulator) == 1
    if CLEARS_FORGET:
        pytest.skip("this Clear discards what tells that an image was taken from the cache")
    second.task("cover").clear()
    assert second.wait(120) == "success", second.describe()
    anew = second.task("cover").xcom()
    assert not anew["cached"]
    assert anew["generation_id"] != known
    assert paid(emulator) == 2
    assert ran().task("cover").xcom()["generation_id"] == anew["generation_id"]
    assert paid(emulator) == 2
