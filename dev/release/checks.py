"""The checks of the distributions: each returns its finding, or raises RefusedError."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from dev.release.building import CHECKOUT, said, tracked

PACKAGE = "airflow_provider_gptimg"
NEW_WITH_US = {"airflow-provider-gptimg", "imagesize"}
"""The packages that an installation may add to a bare Airflow."""

SDIST_ROOT = {
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "pyproject.toml",
    "hatch_build.py",
    ".gitignore",
}
IN_PACKAGE = re.compile(
    r"\.py$|^[^/]+/py\.typed$|/gallery/pages/[^/]+\.html$|/gallery/static/[^/]+\.(css|js|svg)$"
)
PROJECT_URLS = {"Source", "Documentation", "Changelog", "Issues"}
REQUIRED = {
    "Framework :: Apache Airflow",
    "Framework :: Apache Airflow :: Provider",
    "Typing :: Typed",
}


class RefusedError(Exception):
    """A distribution failed a check."""


def same(first: list[Path], second: list[Path]) -> str:
    """Check that two builds in different folders are equal, byte by byte."""
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in it} for it in (first, second)
    ]
    if digests[0] != digests[1]:
        raise RefusedError(f"two builds differ: {digests}")
    return ", ".join(f"{name} sha256 {digest}" for name, digest in digests[0].items())


def version(wheel: Path) -> str:
    """Check that the version is the package's own, and is written in only one place."""
    found = re.findall(
        r'^__version__ = "(.+)"', (CHECKOUT / PACKAGE / "__init__.py").read_text(), re.MULTILINE
    )
    if found != [metadata(wheel)["Version"]]:
        raise RefusedError(f"the wheel has {metadata(wheel)['Version']}, the package {found}")
    if re.search(r"^version\s*=", (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE):
        raise RefusedError("pyproject.toml has a version too")
    if os.environ.get("GITHUB_REF_TYPE") == "tag":
        _is_released(str(found[0]), os.environ["GITHUB_REF_NAME"])
    return str(found[0])


def _is_released(version: str, tag: str) -> None:
    if tag != f"v{version}":
        raise RefusedError(f"the tag is {tag}, the version {version}")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE):
        raise RefusedError(f"CHANGELOG.md has no section [{version}] with a day")


def wheel_contents(wheel: Path) -> str:
    """Check that the wheel contains the package's committed files and its metadata."""
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    info = f"{PACKAGE}-{metadata(wheel)['Version']}.dist-info"
    described = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    package = tracked(PACKAGE)
    _compare(names, package | {f"{info}/{name}" for name in described})
    if strange := sorted(name for name in package if not IN_PACKAGE.search(name)):
        raise RefusedError(f"of a kind that does not belong into the wheel: {strange}")
    if f"{PACKAGE}/py.typed" not in package:
        raise RefusedError("py.typed is missing")
    return f"{len(names)} files"


def sdist_contents(sdist: Path) -> str:
    """Check that the sdist contains the package, examples and docs, but no tests."""
    with tarfile.open(sdist) as files:
        names = {entry.name.split("/", 1)[1] for entry in files if entry.isfile()}
    _compare(names, tracked(PACKAGE, "example_dags", "docs") | SDIST_ROOT | {"PKG-INFO"})
    return f"{len(names)} files"


def _compare(found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise RefusedError(f"unexpected: {sorted(found - expected)}, missing: {sorted(expected - found)}")


def metadata(wheel: Path) -> Message:
    """Return the wheel's METADATA."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(files.read(name).decode())


def index_metadata(wheel: Path) -> str:
    """Check that the metadata for the index page and Airflow's entry point are there."""
    found = metadata(wheel)
    fields = ("Summary", "License-Expression", "License-File", "Keywords", "Requires-Python")
    if missing := [name for name in fields if not found[name]]:
        raise RefusedError(f"missing: {missing}")
    if missing := sorted(REQUIRED - set(found.get_all("Classifier", []))):
        raise RefusedError(f"classifiers missing: {missing}")
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith("entry_points.txt")]
        if "[apache_airflow_provider]" not in files.read(name).decode():
            raise RefusedError("no entry point apache_airflow_provider")
    return f"metadata {found['Metadata-Version']}, {len(found.get_all('Classifier', []))} classifiers"


def index_page(wheel: Path) -> str:
    """Check that all links of the long description work on an index, and that it has the project's URLs."""
    found = metadata(wheel)
    links = re.findall(r"\]\(([^)\s]+)", str(found.get_payload()))
    if lost := sorted({link for link in links if not link.startswith(("https://", "#"))}):
        raise RefusedError(f"links that lead nowhere on an index: {lost}")
    urls = {line.split(",")[0] for line in found.get_all("Project-URL", [])}
    if missing := sorted(PROJECT_URLS - urls):
        raise RefusedError(f"no URL of the project for {missing}")
    return f"{len(links)} links, all absolute; URLs: {', '.join(sorted(urls))}"


def tool(*arguments: str) -> str:
    """Check that a tool of this environment finds no problem."""
    command = [sys.executable, "-m", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RefusedError(ran.stdout + ran.stderr)
    return "passed"


def additions(wheel: Path) -> str:
    """Check that the wheel, installed into a bare Airflow, adds only the named packages and changes none."""
    uv = os.environ.get("UV", "uv")
    airflow = said(
        sys.executable, "-c", "from importlib.metadata import version as v; print(v('apache-airflow'))"
    )
    with tempfile.TemporaryDirectory() as folder:
        python, locked = f"{folder}/venv/bin/python", f"{folder}/locked.txt"
        said(uv, "export", "-q", "--frozen", "--no-hashes", "--no-emit-project", "--output-file", locked)
        said(uv, "venv", "-q", "--python", sys.executable, f"{folder}/venv")
        install = (uv, "pip", "install", "-q", "--python", python)
        said(*install, "-c", locked, f"apache-airflow=={airflow}")
        before = _installed(uv, python)
        said(*install, str(wheel))
        after = _installed(uv, python)
    if changed := {
        name: (before[name], after.get(name)) for name in before if after.get(name) != before[name]
    }:
        raise RefusedError(f"changes what is there: {changed}")
    added = {name: after[name] for name in sorted(after.keys() - before.keys())}
    if not added.keys() <= NEW_WITH_US:
        raise RefusedError(f"adds {added}")
    return f"Airflow {airflow} with {len(before)} packages, unchanged; added: {added}"


def _installed(uv: str, python: str) -> dict[str, str]:
    lines = said(uv, "pip", "freeze", "-q", "--python", python).splitlines()
    return {re.split(r"==| @ ", line)[0]: line for line in lines}
