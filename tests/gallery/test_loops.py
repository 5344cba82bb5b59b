"""Pictures of task loops (Airflow 3.4): every iteration has its own, and an address of its own."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from airflow.sdk import task_group

from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from tests.support.batches import connect, hurry
from tests.support.gallery_pages import Pages
from tests.support.gallery_rows import change_result
from tests.support.pipelines import Pipeline, generate


@task_group
def body() -> None:
    """Make a picture, two more, and a batch."""


pytestmark = pytest.mark.skipif(not hasattr(body, "loop"), reason="This Airflow has no task loops")

DAG_ID = "gallery_loops"
SOURCES = re.compile(r'<img src="([^"]+)" alt="([^"]+)"')
HEADINGS = re.compile(r'class="iteration"><a href="([^"]+)"[^>]*>([^<]+)<')


@pytest.fixture
def site(
    gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: None, quick: None
) -> Pages:
    hurry(monkeypatch)
    connect(monkeypatch, gptimg_emulator)
    where = f"{tmp_path.as_uri()}/{{{{ loop.index }}}}"
    number = "{{ loop.index }}"

    @task_group
    def body() -> None:
        one = generate(task_id="one", prompt=f"A fox {number}", output_path=where)
        some = GptImgGenerateOperator.partial(task_id="some", poll_interval=0.1, output_path=where).expand(
            prompt=[f"An owl {number}", f"A hen {number}"]
        )
        many = GptImgBatchOperator(
            task_id="many", items=[f"A bear {number}"], output_path=where, poll_interval=0.2, deferrable=False
        )
        one >> some >> many

    pipeline = Pipeline(DAG_ID)
    with pipeline.tasks():
        body.loop(max_iterations=2)  # type: ignore[attr-defined]
    assert pipeline.run() == "success"
    return Pages(monkeypatch, DAG_ID, pipeline._run.run_id)


def shown(page: Any) -> dict[str, str]:
    """Return the prompts of a page's pictures, and where each picture is."""
    assert page.status_code == 200
    return {unescape(alt): unescape(source) for source, alt in SOURCES.findall(page.text)}


def test_each_iteration_has_its_own_pictures(site: Pages) -> None:
    run = site.get(site.run)
    assert len(shown(run)) == 8
    page = site.get(f"{site.run}/tasks/body.some")
    assert list(shown(page)) == ["An owl 0", "A hen 0", "An owl 1", "A hen 1"]
    headings = HEADINGS.findall(page.text)
    assert [label for _, label in headings] == ["iteration 0", "iteration 1"]
    assert list(shown(site.get(f"{site.run}/tasks/body.one"))) == ["A fox 0", "A fox 1"]
    assert list(shown(site.get(f"{site.run}/tasks/body.many", map_index="-1"))) == ["A bear 0", "A bear 1"]
    assert "A bear 1" in shown(site.get("/"))


def test_each_has_its_own_address(site: Pages) -> None:
    page = site.get(f"{site.run}/tasks/body.one")
    (_, (second, _)) = HEADINGS.findall(page.text)
    address = urlsplit(unescape(second))
    only = site.get(address.path, **dict(parse_qsl(address.query)))
    assert list(shown(only)) == ["A fox 1"]
    assert "Images of body.one iteration 1" in only.text
    assert "all 2 instances" in only.text

    pictures = shown(site.get(site.run))
    sent = {prompt: site.get(source) for prompt, source in pictures.items()}
    assert {answer.status_code for answer in sent.values()} == {200}
    assert len({answer.content for answer in sent.values()}) == 8
    nowhere = re.sub("region_id=[^&]+", "region_id=" + "0" * 32, pictures["A fox 1"])
    assert site.get(nowhere).status_code == 404


def test_a_batch_of_another_iteration_is_not_shown(site: Pages, tmp_path: Path) -> None:
    (theirs,) = (tmp_path / "0").glob("*.jsonl")
    change_result(DAG_ID, "body.many", 1, manifest=theirs.as_uri())
    page = site.get(f"{site.run}/tasks/body.many")
    assert list(shown(page)) == ["A bear 0"]
    assert "does not belong to the task" in page.text
