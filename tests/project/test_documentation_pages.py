"""The pages hang together: they build without a warning, are all reachable, and show every example."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from dev import page_code
from tests.support import decision_cases as cases
from tests.support.documentation import BELOW, CHECKOUT, DOCS, PAGES, named

EXAMPLES = sorted((CHECKOUT / "example_dags").glob("*.py"))
PACKAGE = CHECKOUT / "airflow_provider_gptimg"


def public_modules() -> list[str]:
    """Return the modules whose public names users import."""
    from airflow_provider_gptimg.provider_info import get_provider_info

    info = get_provider_info()
    kinds = ("hooks", "operators", "sensors", "triggers")
    found = [module for kind in kinds for entry in info[kind] for module in entry["python-modules"]]
    found += [entry["class-name"].rpartition(".")[0] for entry in info["task-decorators"]]
    others = ("exceptions", "assets", "files.names", "result", "emulator.pytest_plugin", "emulator.remote")
    return [*found, *(f"airflow_provider_gptimg.{name}" for name in others)]


def public_names(module_name: str) -> set[str]:
    """Return the classes, functions and fixtures that a module defines for users."""
    module = importlib.import_module(module_name)
    names = (name for name in vars(module) if not name.startswith("_"))
    own = {name: vars(module)[name] for name in names}
    return {
        f"{module_name}.{name}"
        for name, value in own.items()
        if getattr(value, "__module__", None) == module_name or hasattr(value, "_fixture_function")
        if inspect.isclass(value) or callable(value) or hasattr(value, "_fixture_function")
    }


HELPERS = {
    "airflow_provider_gptimg.exceptions.from_api",
    "airflow_provider_gptimg.exceptions.named",
    "airflow_provider_gptimg.exceptions.translated",
    "airflow_provider_gptimg.operators.generate.problem_of",
    "airflow_provider_gptimg.operators.generate.refusal",
    "airflow_provider_gptimg.result.asked",
    "airflow_provider_gptimg.result.asked_in",
    "airflow_provider_gptimg.result.Asked",
    "airflow_provider_gptimg.result.cost_of",
    "airflow_provider_gptimg.result.list_price",
    "airflow_provider_gptimg.result.moment_in",
    "airflow_provider_gptimg.result.collect",
    "airflow_provider_gptimg.result.generation_id_in",
    "airflow_provider_gptimg.result.result_of",
    "airflow_provider_gptimg.result.shortfall",
    "airflow_provider_gptimg.result.submitted_at_in",
}
"""Public among the package's own modules, and of no use outside."""


def test_they_build_without_a_warning_and_the_reference_is_complete(tmp_path: Path) -> None:
    for needed in ("sphinx", "furo", "myst_parser", "sphinx_autodoc_typehints", "sphinx_copybutton"):
        pytest.importorskip(needed, reason="the documentation's tools are not installed here")
    from sphinx.util.inventory import InventoryFile

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", tmp_path / "trees", DOCS, tmp_path / "html"],
        capture_output=True,
        text=True,
        timeout=300,
        # Whatever is asked of the network would fail.
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    with (tmp_path / "html" / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    documented = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    expected = set().union(*map(public_names, public_modules()))
    assert len(expected) > 50
    assert expected - documented - HELPERS == set()


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {"index"}
    for page in BELOW:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            folder = page.parent.relative_to(DOCS)
            listed |= {(folder / entry).as_posix() for entry in entries}
    assert {page.relative_to(DOCS).with_suffix("").as_posix() for page in BELOW} == listed


def test_every_marker_of_the_examples_is_shown() -> None:
    marked = {
        (path.name, name)
        for path in EXAMPLES
        for name in re.findall(r"^ *# \[START (howto_\w+)\]$", path.read_text(), re.MULTILINE)
    }
    shown = set()
    for page in PAGES:
        text = page.read_text()
        assert page_code.with_code(text) == text, (
            f"{named(page)} shows other code than the example: make format"
        )
        shown |= {(Path(place["path"]).name, place["name"]) for place in page_code.PLACE.finditer(text)}
    assert marked == shown
    assert len(marked) > 10


def test_the_map_of_the_code_is_the_code() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    text = text[text.index("## A map of the code") :]
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\*\*`(\w+)/`\*\*", text, re.MULTILINE))
    for paragraph in re.split(r"\n\n", text):
        head = re.match(r"\*\*`(\w+)/`\*\*", paragraph)
        folder = PACKAGE / head[1] if head else PACKAGE
        named_here = re.findall(r"`([\w/]+\.py)`", paragraph)
        assert [name for name in named_here if not (folder / name).exists()] == []
        if head:
            modules = (path for path in folder.rglob("*.py") if path.name != "__init__.py")
            there = {path.relative_to(folder).as_posix() for path in modules}
            assert there == set(named_here), head[1]


def test_the_drawings_are_what_the_script_draws() -> None:
    drawings = runpy.run_path(str(DOCS / "_extensions" / "drawings.py"))["DRAWINGS"]
    assert len(drawings) == 3
    for path, picture in drawings.items():
        assert path.read_text() == picture, f"python docs/_extensions/drawings.py: {path.name} is another one"


def test_the_table_of_who_pays_is_that_of_the_cases() -> None:
    written = cases.PAGE.read_text(encoding="utf-8")
    assert written == cases.page_with_table(), "run: python -m tests.support.decision_cases"
