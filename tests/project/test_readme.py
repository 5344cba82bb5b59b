"""What README and docs say runs as it stands there, and their links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.airflow_versions import new_dag_bag
from tests.support.documentation import CHECKOUT, PAGES, Block, anchors, blocks, named

README = CHECKOUT / "README.md"
CHECKED = {"python", "json", "console", "yaml", "dockerfile", "toml", "ini"}
SHOWN = {"text"}
"""Output and messages, which nobody runs."""


SCRIPTS = [block for block in blocks("python") if block.file is None]


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_python_blocks_run(block: Block) -> None:
    try:
        exec(compile(block.text, named(block.page), "exec"), {"__name__": "page"})
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("airflow.providers"):
            raise
        pytest.skip(f"{error.name} is not installed here")


@pytest.mark.parametrize("block", [block for block in SCRIPTS if "airflow.sdk" in block.text], ids=str)
def test_airflow_can_make_every_task_of_the_dags(block: Block, tmp_path: Path) -> None:
    """A mapped task is made on the worker only, which is where its mistakes show."""
    page = tmp_path / "page.py"
    page.write_text(block.text)
    bag = new_dag_bag(page, include_examples=False)
    if any("No module named 'airflow.providers" in error for error in bag.import_errors.values()):
        pytest.skip("a provider is not installed here")
    assert bag.import_errors == {}
    assert bag.dags
    for task in (task for dag in bag.dags.values() for task in dag.tasks if task.is_mapped):
        of_function = getattr(task, "op_kwargs_expand_input", None)
        given = dict.fromkeys((of_function or task.expand_input).value, "A fox")
        task.unmap({"op_kwargs": given} if of_function else given)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_blocks_are_json(block: Block) -> None:
    json.loads(block.text)


def test_no_block_is_in_a_language_that_nobody_checks() -> None:
    others = {block.language for block in blocks()} - CHECKED - SHOWN
    assert [language for language in others if not language.startswith("{")] == []


def test_the_message_that_is_quoted_is_the_message() -> None:
    from airflow_provider_gptimg.api.errors import ApiError
    from airflow_provider_gptimg.api.request import GenerationRequest

    with pytest.raises(ApiError) as refused:
        GenerationRequest.checked("A fox", size="4:3")
    assert str(refused.value) in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", page.read_text()):
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), f"{target}#{anchor}"
