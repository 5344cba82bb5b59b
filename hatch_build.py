"""What the package index shows: the README with links that work there, and where the project lives.

The README's links lead to files beside it, which an index does not have. The environment variable
``REPOSITORY_URL`` says where they are; the forge's release workflow knows it. Without it links stay as
they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?![a-z]+:|#)([^)\s]+)\)")
"""A link or an image of Markdown whose target is relative."""

PICTURE = re.compile(r'(src|srcset)="(?![a-z]+:)([^"]+)"')
"""A picture in HTML whose source is relative."""


class IndexMetadata(MetadataHookInterface):
    """Fills in ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Take the README, and make its links absolute where that can be done."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
        metadata["urls"] = {}
        if repository:
            tag = f"v{metadata['version']}"
            text = absolute(text, repository, tag)
            metadata["urls"] = {
                "Source": repository,
                "Documentation": f"{repository}/tree/{tag}/docs",
                "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links lead to the files of a tag on the forge."""

    def link(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        label = LINK.sub(link, label)  # an image in a link
        return f"{image}{label}({repository}/{'raw' if image else 'blob'}/{tag}/{target})"

    return PICTURE.sub(rf'\1="{repository}/raw/{tag}/\2"', LINK.sub(link, text))
