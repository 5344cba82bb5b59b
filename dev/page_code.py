"""Copies the code of the example DAGs into the pages, wherever a comment above a block names an example.

Run it with ``make format``. A page contains::

    <!-- example_dags/example_gptimg_basic.py: howto_operator_generate -->
    ```python
    (the lines between the markers START and END of that name)
    ```
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PLACE = re.compile(
    r"<!-- (?P<path>example_dags/\w+\.py): (?P<name>\w+) -->\n```python\n.*?^```$", re.MULTILINE | re.DOTALL
)


def with_code(text: str) -> str:
    """Return a page in which each named block has the current code of its example."""
    return PLACE.sub(_block, text)


def _block(place: re.Match[str]) -> str:
    path, name = place["path"], place["name"]
    source = (CHECKOUT / path).read_text()
    code = re.search(rf"^ *# \[START {name}\]\n(.*?)^ *# \[END {name}\]$", source, re.MULTILINE | re.DOTALL)
    if code is None:
        raise LookupError(f"{path} has no [START {name}] with an [END {name}] after it.")
    lines = textwrap.dedent(code[1]).strip("\n")
    return f"<!-- {path}: {name} -->\n```python\n# {path}\n{lines}\n```"


def main() -> None:
    """Write the pages that have changed."""
    for page in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")]:
        before = page.read_text()
        if (after := with_code(before)) != before:
            page.write_text(after)
            print(f"{page.relative_to(CHECKOUT)} shows the examples as they are now.")


if __name__ == "__main__":
    main()
