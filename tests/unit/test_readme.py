"""What README and docs say runs as it stands there, and their links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from documentation import CHECKOUT, PAGES, Block, anchors, blocks, named

README = CHECKOUT / "README.md"
CHECKED = {"python", "json", "console", "yaml", "toml", "ini"}
SHOWN = {"text"}
"""Output and messages, which nobody runs."""


@pytest.mark.parametrize("block", [block for block in blocks("python") if block.file is None], ids=str)
def test_python_blocks_run(block: Block) -> None:
    try:
        exec(compile(block.text, named(block.page), "exec"), {"__name__": "page"})
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("airflow.providers"):
            raise
        pytest.skip(f"{error.name} is not installed here")


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
