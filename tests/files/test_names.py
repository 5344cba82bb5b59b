"""What stored images are called."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.files.names import FileNames

DIGEST = "0123456789abcdef" * 2


def names(pattern: object, map_index: int = -1, task_id: str = "cards.front") -> FileNames:
    ti: Any = SimpleNamespace(task_id=task_id, map_index=map_index)
    return FileNames.of(pattern, ti, DIGEST)


@pytest.mark.parametrize(
    ("pattern", "map_index", "expected"),
    [
        (None, -1, ["cards.front-0123456789ab-0.png", "cards.front-0123456789ab-1.png"]),
        (None, 7, ["cards.front-7-0123456789ab-0.png", "cards.front-7-0123456789ab-1.png"]),
        ("cover", -1, ["cover.png", "cover-1.png"]),
        ("cover.{format}", -1, ["cover.png", "cover-1.png"]),
        ("2026-11-24/{index:03}", -1, ["2026-11-24/000.png", "2026-11-24/001.png"]),
        ("{map_index}/{index}.{format}", 7, ["7/0.png", "7/1.png"]),
        ("{identity}", 7, ["0123456789ab.png", "0123456789ab-1.png"]),
        ("{task_id}@{index}", -1, ["cards.front@0.png", "cards.front@1.png"]),
    ],
)
def test_patterns(pattern: str | None, map_index: int, expected: list[str]) -> None:
    assert [names(pattern, map_index).name(index, "png") for index in (0, 1)] == expected


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "a string is needed"),
        (7, "a string is needed"),
        ("../{index}", "a name below output_path"),
        ("/abs/{index}", "a name below output_path"),
        ("a//{index}", "a name below output_path"),
        ("a\\{index}", "a name below output_path"),
        ("a\n{index}", "a name below output_path"),
        ("{index", "only these names may be in braces"),
        ("{}", "only these names may be in braces"),
        ("{prompt}", "only these names may be in braces"),
        ("{index.real}", "only these names may be in braces"),
        ("{task_id.__class__}", "only these names may be in braces"),
    ],
)
def test_what_is_no_name_is_refused(pattern: object, says: str) -> None:
    with pytest.raises(ApiError, match="file_name=") as refused:
        names(pattern)
    assert says in str(refused.value)


@pytest.mark.parametrize("pattern", ["cover", "cover-{index}.{format}"])
def test_mapped_tasks_must_not_share_a_name(pattern: str) -> None:
    ti: Any = SimpleNamespace(map_index=0)
    with pytest.raises(ApiError, match=r"must contain \{map_index\} or \{identity\}"):
        names(pattern, map_index=0).check_mapped(ti)
    names(None, map_index=0).check_mapped(ti)


@pytest.mark.parametrize("pattern", ["cover", "cover-{index}.{format}"])
def test_items_must_not_share_a_name(pattern: str) -> None:
    ti: Any = SimpleNamespace(task_id="cards", map_index=-1)
    with pytest.raises(ApiError, match=r"must contain \{item\}, \{id\} or \{identity\}"):
        FileNames.of(pattern, ti, DIGEST, item=0)
    assert FileNames.of("{item:03}", ti, DIGEST, item=7).name(0, "png") == "007.png"


def named_by_id(item_id: object, pattern: str | None = "{id}") -> str:
    ti: Any = SimpleNamespace(task_id="cards", map_index=-1)
    return FileNames.of(pattern, ti, DIGEST, item=7, item_id=item_id).name(0, "png")


@pytest.mark.parametrize(
    ("item_id", "name"),
    [
        ("sku-7", "sku-7.png"),
        (7, "7.png"),
        ("größe_猫.1", "größe_猫.1.png"),
        ("what? [1]", "what_1_-########.png"),
        ("../../etc", "__.._etc-########.png"),
        (".gptimg", "_gptimg-########.png"),
        ("a/b", "a_b-########.png"),
    ],
)
def test_an_id_becomes_a_part_of_a_name(item_id: object, name: str) -> None:
    assert re.sub("-[0-9a-f]{8}[.]", "-########.", named_by_id(item_id)) == name


def test_no_two_ids_give_one_name() -> None:
    ids = [
        "a/b",
        "a?b",
        "a_b",
        "a b",
        "x" * 300,
        "x" * 301,
        "猫" * 100,
        "猫" * 101,
        "\ud800",
        "\udc80",
        "e\u0301",
        "é",
    ]
    found = {named_by_id(item_id) for item_id in ids}
    assert len(found) == len(ids)
    assert max(len(name.encode()) for name in found) < 120


def test_a_name_that_nobody_chose_has_the_id_in_it() -> None:
    assert named_by_id("sku-7", None) == "cards-sku-7-0123456789ab-0.png"
    assert named_by_id(None, None) == "cards-0123456789ab-0.png"


def test_only_items_have_ids() -> None:
    with pytest.raises(ApiError, match="only the items of a batch"):
        names("{id}")


def test_task_ids_of_any_letters_tell_files_apart() -> None:
    first, second = (names("{task_id}", task_id=task_id).name(0, "png") for task_id in ("狐", "猫"))
    assert (first, second) == ("狐.png", "猫.png")
    assert names(None, task_id="müll-eimer.v2").name(0, "png") == "müll-eimer.v2-0123456789ab-0.png"


@pytest.mark.parametrize("pattern", [None, "{task_id}", "a/{task_id}-{index}"])
@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_a_long_task_id_is_cut_to_what_a_name_may_have(pattern: str | None, letter: str) -> None:
    made = {names(pattern, task_id=letter * 249 + end).longest() for end in "ab"}
    assert len(made) == 2
    assert all(len(part.encode()) <= 255 for name in made for part in name.split("/"))


def test_names_that_fit_are_never_cut() -> None:
    task_id = "x" * 235
    assert names(None, task_id=task_id).name(0, "png") == f"{task_id}-0123456789ab-0.png"


@pytest.mark.parametrize("pattern", ["cover", "cover-{index}", "{task_id}-{map_index}", "{item}", "{id}"])
def test_iterations_of_a_loop_share_no_name(pattern: str) -> None:
    ti: Any = SimpleNamespace(task_id="cards", map_index=-1)
    shared = FileNames.of(pattern, ti, DIGEST, item=0 if pattern in ("{item}", "{id}") else None, item_id="a")
    with pytest.raises(ApiError, match="in a task loop"):
        shared.check_loop()
    FileNames.of(None, ti, DIGEST).check_loop()
