"""Where private Airflow and storage may be touched. Import-linter cannot say it: it knows only packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_gptimg"

PUBLIC = re.compile(
    r"airflow\.(sdk|sdk\.(bases|types|definitions\.(asset|xcom_arg))(\..*)?|triggers\.base|plugins_manager"
    r"|configuration|providers\..*)"
)
"""What Airflow offers to providers, in all versions from 3.0 on."""

IN_THE_API_SERVER = {"gallery/access.py", "gallery/app.py", "gallery/task_instances.py"}
"""A plugin of the API server asks its auth manager and its database."""

COMMAND_LINE = {"cli/definition.py"}


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the module and the names of each import that is made when the code runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [name.name for name in node.names]
        elif isinstance(node, ast.Import):
            yield from ((name.name, []) for name in node.names)


MODULES = [
    pytest.param(path, id=path.relative_to(PACKAGE).as_posix())
    for path in sorted(PACKAGE.rglob("*.py"))
    if "emulator" not in path.parts
]


@pytest.mark.parametrize("path", MODULES)
def test_only_compat_touches_what_is_private_in_airflow(path: Path) -> None:
    where = path.relative_to(PACKAGE).as_posix()
    if where.startswith("compat/") or where in IN_THE_API_SERVER | COMMAND_LINE:
        return
    private = [
        module
        for module, _ in imports(path)
        if module.split(".")[0] == "airflow" and not PUBLIC.fullmatch(module)
    ]
    assert private == []
    assert "_ti_context_from_server" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES)
def test_only_files_opens_storage(path: Path) -> None:
    """Elsewhere ``ObjectStoragePath`` is only a type that people may pass."""
    opens = [module for module, _ in imports(path) if module.split(".")[0] == "fsspec"]
    assert opens == [] or path.parent.name == "files"
    called = re.findall(r"ObjectStoragePath\(", path.read_text(encoding="utf-8"))
    assert called == [] or path.parent.name == "files"
