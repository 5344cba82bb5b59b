"""Troubleshooting names the messages that the code really has, and leaves none of its errors out."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from airflow_provider_gptimg import exceptions
from tests.support.documentation import CHECKOUT, DOCS

PACKAGE = CHECKOUT / "airflow_provider_gptimg"
PAGE = (DOCS / "troubleshooting.md").read_text()
TABLES = re.findall(r"^\| message \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
DOCUMENTED = [row.split("`")[1] for table in TABLES for row in table.splitlines()]
ELSEWHERE = {"… … (…).", "It failed before."}
"""What the page says in its text, and what is raised for a reason that was logged when it came."""


def template(node: ast.expr) -> str:
    """Return a message as the page writes it: with ``…`` for what is put into it."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%[sdr]", "…", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "…"


@cache
def written() -> list[str]:
    """Return every text of the package, emulator included."""
    return [
        template(node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.JoinedStr, ast.BinOp))
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


@cache
def raised() -> list[str]:
    """Return the messages of the errors that the package raises for its users, but for single parameters."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if {"emulator", "gallery"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name == "ApiError":
                found.append(template(node.args[1]))
            elif re.fullmatch(r"GptImg\w+Error", name) and node.args:
                found.append(template(node.args[0]))
    return [text for text in found if text.strip("…")]


def fits(message: str, text: str) -> bool:
    """Return whether the parts of a documented message stand in a text, in their order."""
    position = 0
    for part in filter(str.strip, message.split("…")):
        position = text.find(part.strip(), position)
        if position < 0:
            return False
        position += len(part.strip())
    return True


@pytest.mark.parametrize("message", DOCUMENTED)
def test_the_code_has_a_message_that_is_explained(message: str) -> None:
    assert any(fits(message, text) for text in written())


def test_every_error_is_explained() -> None:
    telling = [message for message in DOCUMENTED if len(re.findall(r"\w{2,}", message)) > 2]
    missing = [text for text in raised() if not any(fits(message, text) for message in telling)]
    assert [text for text in missing if text not in ELSEWHERE] == []
    assert len(raised()) > 30


def test_every_exception_is_named() -> None:
    classes = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and name.startswith("GptImg")
    }
    grouping = {"GptImgError", "GptImgServiceError", "GptImgGenerationError"}
    assert {name for name in classes - grouping if f"`{name}`" not in PAGE} == set()


def test_a_message_that_the_code_does_not_have_is_found() -> None:
    assert not any(fits("The … picture is … in a way that nobody wrote", text) for text in written())
