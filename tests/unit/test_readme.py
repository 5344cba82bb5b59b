"""What README and docs say runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
PAGES = [README, CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(page.name, block, id=f"{page.name}: {block.strip().splitlines()[0]}")
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_python_blocks_run(page: str, block: str) -> None:
    exec(compile(block, page, "exec"), {"__name__": "page"})


def test_the_message_that_is_quoted_is_the_message() -> None:
    from airflow_provider_gptimg.api.errors import ApiError
    from airflow_provider_gptimg.api.request import GenerationRequest

    with pytest.raises(ApiError) as refused:
        GenerationRequest.checked("A fox", size="4:3")
    assert str(refused.value) in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
