"""What a release is made of: links that work on an index, checks that refuse, a matrix without gaps."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from dev.matrix.cells import CELLS, EVERY_CELL, PYTHONS
from dev.release import checks

CHECKOUT = Path(__file__).parents[2]
FORGE = "https://forge.example/project"

pytest.importorskip("hatchling", reason="builds the distributions, and is not installed here")
import hatch_build  # noqa: E402


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a](docs/a.md#b)", f"[a]({FORGE}/blob/v1/docs/a.md#b)"),
        ("![a](docs/a.png)", f"![a]({FORGE}/raw/v1/docs/a.png)"),
        ("[![a](a.png)](b.md)", f"[![a]({FORGE}/raw/v1/a.png)]({FORGE}/blob/v1/b.md)"),
        ('[`x["y"]`](docs/a.md)', f'[`x["y"]`]({FORGE}/blob/v1/docs/a.md)'),
        ("[a](https://b.example/c)", "[a](https://b.example/c)"),
        ("[a](#b)", "[a](#b)"),
    ],
)
def test_relative_links_become_absolute(written: str, expected: str) -> None:
    assert hatch_build.absolute(written, FORGE, "v1") == expected


def test_the_readme_has_no_link_that_is_missed() -> None:
    text = hatch_build.absolute((CHECKOUT / "README.md").read_text(), FORGE, "v1")
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    assert len(targets) > 20
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def wheel(folder: Path, description: str, *lines: str) -> Path:
    path = folder / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("x-1.dist-info/METADATA", "\n".join(["Name: x", *lines, "", description]))
    return path


URLS = [f"Project-URL: {name}, {FORGE}" for name in checks.PROJECT_URLS]


def test_a_page_with_working_links_passes(tmp_path: Path) -> None:
    assert "1 links" in checks.index_page(wheel(tmp_path, "[a](https://b.example)", *URLS))


@pytest.mark.parametrize(
    ("description", "lines", "says"),
    [("[a](docs/a.md)", URLS, "docs/a.md"), ("[a](https://b.example)", URLS[:3], "no URL of the project")],
)
def test_a_page_with_dead_ends_is_refused(
    description: str, lines: list[str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(checks.RefusedError, match=says):
        checks.index_page(wheel(tmp_path, description, *lines))


def test_a_tag_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_gptimg import __version__

    built = wheel(tmp_path, "", f"Version: {__version__}")
    assert checks.version(built) == __version__
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "v99.0.0")
    with pytest.raises(checks.RefusedError, match=re.escape("v99.0.0")):
        checks.version(built)


def test_the_matrix_has_every_airflow_every_python_and_the_floors() -> None:
    assert {cell.airflow for cell in CELLS} >= {"3.0.6", "3.1.8", "3.2.2", "3.3.2", "3.4"}
    assert {cell.python for cell in CELLS if not cell.optional} == set(PYTHONS)
    classified = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (CHECKOUT / "pyproject.toml").read_text()
    )
    assert classified == list(PYTHONS)
    (lowest,) = (cell for cell in CELLS if cell.lowest)
    floor = re.search(r'"apache-airflow>=([\d.]+)"', (CHECKOUT / "pyproject.toml").read_text())
    assert floor
    assert lowest.airflow == floor[1]
    assert {cell.name for cell in CELLS} <= {cell.name for cell in EVERY_CELL}


@pytest.mark.parametrize("version", ["3.4.0b2", "3.4.0", "3.4.1"])
def test_a_row_of_the_newest_series_is_replaced_by_that_of_a_newer_version(version: str) -> None:
    (cell,) = (cell for cell in CELLS if cell.is_row(version, "3.13"))
    assert cell.airflow == "3.4"
    assert not any(cell.is_row(f"{version}, lowest versions", "3.13") for cell in CELLS)


def test_a_beta_is_asked_for_only_where_there_is_no_release() -> None:
    (cell, *_) = (cell for cell in CELLS if cell.airflow == "3.4")
    assert cell.requirements == ["apache-airflow~=3.4.0", "apache-airflow~=3.4.0a0"]


@pytest.mark.parametrize(
    ("word", "airflows"),
    [
        ("3.1", {"3.1.8"}),
        ("3.3.2", {"3.3.2"}),
        ("3.4", {"3.4"}),
        ("lowest", {"3.0.0"}),
        ("python-3.12", {"3.2.2"}),
        ("3.10", set()),
    ],
)
def test_a_word_means_the_cells_of_an_airflow(word: str, airflows: set[str]) -> None:
    assert {cell.airflow for cell in CELLS if cell.is_meant_by(word)} == airflows
