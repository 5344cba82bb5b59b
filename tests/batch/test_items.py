"""Items from wherever people have them: read, named, and what else is known of them kept."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.batch.columns import Columns
from airflow_provider_gptimg.batch.item_check import Checked, check
from airflow_provider_gptimg.batch.items import Item, Items
from airflow_provider_gptimg.batch.json_lines import strict_json
from airflow_provider_gptimg.operators.batch import GptImgBatchOperator
from tests.support.object_store import FOLDER, bucket

DEFAULTS = {"size": "1:1", "resolution": "1K", "n": 1, "model": "gpt-image-2"}


def items_of(source: object, columns: Mapping[str, str | None] | None = None) -> Items:
    return Items(source, DEFAULTS, "batch", Columns(columns))


def listed(source: object, columns: Mapping[str, str | None] | None = None) -> list[Item]:
    found = items_of(source, columns)
    assert check(found).problems == []
    assert list(found) == list(found)  # read anew, the same comes
    return list(found)


def prompts(source: object, columns: Mapping[str, str | None] | None = None) -> list[Any]:
    return [item.fields["prompt"] for item in listed(source, columns)]


def refused(source: object, columns: Mapping[str, str | None] | None = None) -> str:
    with pytest.raises(ApiError) as error:
        check(items_of(source, columns))
    assert error.value.kind is Kind.INVALID
    return error.value.message


# -- columns --------------------------------------------------------------------------------------------

PRODUCTS = [
    {"sku": "A-1", "text": "A red lamp", "price": "9.90", "colour": ""},
    {"sku": "A-2", "text": "A blue chair", "price": "120", "colour": "blue"},
]
OURS = {"id": "sku", "prompt": "text"}


def as_csv(folder: Path) -> object:
    path = folder / "products.csv"
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, list(PRODUCTS[0]))
        rows.writeheader()
        rows.writerows(PRODUCTS)
    return path


def as_json_lines(folder: Path) -> object:
    path = folder / "products.jsonl"
    path.write_text("\n".join(map(json.dumps, PRODUCTS)))
    return path


@pytest.mark.parametrize(
    "form",
    [
        as_csv,
        as_json_lines,
        lambda _: PRODUCTS,
        lambda _: iter(PRODUCTS),
        lambda _: pandas.DataFrame(PRODUCTS),
        lambda _: polars.DataFrame(PRODUCTS),
    ],
)
def test_columns_are_called_as_the_author_says_and_others_are_kept(tmp_path: Path, form: Any) -> None:
    lamp, chair = listed(form(tmp_path), OURS)
    assert (lamp.id, lamp.fields["prompt"]) == ("A-1", "A red lamp")
    assert lamp.row == {"price": "9.90", "colour": ""}
    assert (chair.id, chair.row) == ("A-2", {"price": "120", "colour": "blue"})


def test_what_is_only_passed_on_is_said_and_changes_no_identity(tmp_path: Path) -> None:
    before = listed([{"prompt": "A fox", "price": 1}])
    after = listed([{"prompt": "A fox", "price": 2}])
    assert before[0].digest == after[0].digest
    notes = check(items_of(PRODUCTS, OURS)).notes
    assert notes == ["These columns are only copied to the manifest, as row: price, colour."]


@pytest.mark.parametrize(
    "header", ["prompt,reference_images", " Prompt , Reference Images", "PROMPT,reference_Images"]
)
def test_names_are_compared_without_case_and_blanks(tmp_path: Path, header: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{header}\nA fox,https://example.com/a.png\n")
    (item,) = listed(path)
    assert item.fields["prompt"] == "A fox"
    assert item.fields["reference_images"] == ["https://example.com/a.png"]
    assert item.row == {}


def test_a_field_may_be_something_else() -> None:
    (item,) = listed([{"prompt": "A shirt", "Size": "XL"}], {"size": None})
    assert (item.fields["size"], item.row) == ("1:1", {"Size": "XL"})


def test_one_column_may_be_two_things() -> None:
    (item,) = listed([{"name": "lamp"}], {"id": "name", "prompt": "name"})
    assert (item.id, item.fields["prompt"]) == ("lamp", "lamp")


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        (
            "sku,text\nA,A fox\n",
            None,
            "there is no prompt; its columns are sku, text. Say which one is the prompt",
        ),
        ("sku,text\nA,A fox\n", {"prompt": "txt"}, "columns= names 'txt', but there is no such column"),
        ("prompt,Prompt \nA,B\n", None, "the column 'Prompt' appears twice"),
        ("prompt,price,price\nA,1,2\n", None, "the column 'price' appears twice"),
        ("A fox\nA bear\n", None, "its columns are A fox"),
    ],
)
def test_a_file_without_the_columns_is_refused(
    tmp_path: Path, content: str, columns: Mapping[str, str] | None, says: str
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(content)
    message = refused(path, columns)
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize("table", [pandas.DataFrame, polars.DataFrame])
def test_a_table_without_the_columns_is_refused(table: Any) -> None:
    assert "DataFrame of 2 rows" in refused(table(PRODUCTS))
    assert "its columns are sku, text, price, colour" in refused(table(PRODUCTS))


def test_a_table_with_a_column_twice_is_refused() -> None:
    assert "'prompt' appears twice" in refused(pandas.DataFrame([["a", "b"]], columns=["prompt", "prompt"]))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("text", "a dict of names is needed"),
        ({"prmpt": "text"}, "'prmpt' is not one of prompt, size"),
        ({"prompt": 7}, "the name of a column or key, or None"),
        ({"prompt": " "}, "the name of a column or key, or None"),
        ({"prompt": None}, "every item needs a prompt"),
    ],
)
def test_columns_are_checked_when_the_dag_is_parsed(columns: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GptImgBatchOperator(task_id="images", items=["A fox"], output_path="/x", columns=columns)


# -- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "csv.gz", "jsonl.gz", "tsv", "ndjson.GZ"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_packings(tmp_path: Path, encoding: str, ending: str, line_end: str) -> None:
    lines = ['"Füchse\u2028 🦊"', '"A bear"']
    if "json" not in ending:
        lines.insert(0, "prompt")
    content = line_end.join([*lines, ""]).encode(encoding)
    path = tmp_path / f"items.{ending}"
    path.write_bytes(gzip.compress(content) if ending.lower().endswith(".gz") else content)
    assert prompts(path) == ["Füchse\u2028 🦊", "A bear"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "header", ['prompt{0}"a note, long; or not"{0}n', "note{0}prompt{0}n", "prompt{0}n{0}x"]
)
def test_delimiters(tmp_path: Path, delimiter: str, header: str) -> None:
    place = header.split("{0}").index("prompt")
    cells = ["1", "1", "1"]
    cells[place] = '"A fox, red; or not\tso"'
    path = tmp_path / "items.csv"
    path.write_text(f"{header.format(delimiter)}\n{delimiter.join(cells)}\n")
    assert prompts(path) == ["A fox, red; or not\tso"]


def test_rows_without_anything_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("\n;;\nprompt;n;\nA fox;;\n;;\n\n ; ;;;;\nA bear;2;;;\n;;")
    assert prompts(path) == ["A fox", "A bear"]
    assert check(items_of(path)).notes == ["Empty rows that were skipped: 4."]


def test_a_column_without_a_name_is_kept_where_it_says_anything(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    pandas.DataFrame({"prompt": ["A fox", "A bear"]}).to_csv(path)
    assert [item.row for item in listed(path)] == [{"column 1": "0"}, {"column 1": "1"}]


def test_a_number_that_a_table_made_a_fraction_is_a_whole_one(tmp_path: Path) -> None:
    table = pandas.DataFrame({"prompt": ["A fox", "A bear"], "n": [2, None], "id": [7, None]})
    path, lines = tmp_path / "items.csv", tmp_path / "items.jsonl"
    table.to_csv(path, index=False)
    table.to_json(lines, orient="records", lines=True)
    for source in (table, polars.DataFrame(table.to_dict("list")), path, lines):
        assert [item.fields["n"] for item in listed(source)] == [2, 1]
        assert [float(item.id) if item.id else None for item in listed(source)] == [7, None]


def test_what_json_lacks_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"prompt": "A fox", "size": NaN, "price": NaN, "more": [Infinity, 1e999, {"a": -Infinity}]}'
    )
    (item,) = listed(path)
    assert item.fields["size"] == "1:1"
    assert item.row == {"price": None, "more": [None, None, {"a": None}]}


def test_a_row_may_hold_anything() -> None:
    circle: list[Any] = []
    circle.append(circle)
    odd = {"when": pandas.Timestamp("2026-11-26"), "keys": {(1, 2): 3}, "circle": circle, 7: float("nan")}
    (item,) = listed([{"prompt": "A fox", **odd}])
    assert item.row == {"when": "2026-11-26 00:00:00", "keys": "<dict>", "circle": "<list>", "7": None}
    strict_json(item.row)


def test_an_empty_cell_is_how_a_file_leaves_something_out(tmp_path: Path) -> None:
    path, lines = tmp_path / "items.csv", tmp_path / "items.jsonl"
    path.write_text("prompt,reference_images,size\nA fox,,\nA bear, ,\n")
    lines.write_text(
        '{"prompt": "A fox", "reference_images": null}\n{"prompt": "A bear", "reference_images": NaN}'
    )
    for source in (path, lines):
        assert ["reference_images" in item.fields for item in listed(source)] == [False, False]
    path.write_text("prompt,id\n,7\nNone,8\n")
    message = check(items_of(path)).refusal().message
    assert "item '7': prompt=None is not allowed: it must not be empty" in message
    assert "item '8': prompt='None' is not allowed" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_a_manifest_is_strict_json(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    assert json.loads(strict_json({"a": value, "b": "ü"}), parse_constant=refuse)["b"] == "ü"


@pytest.mark.parametrize("of", [str, lambda path: path, ObjectStoragePath, lambda path: path.as_uri()])
@pytest.mark.parametrize("name", ["the items.csv", "100%25.csv", "größe #1.csv", "what?.csv"])
def test_a_file_is_named_as_people_name_it(tmp_path: Path, of: Any, name: str) -> None:
    path = tmp_path / name
    path.write_text("prompt\nA fox\n")
    assert prompts(of(path)) == ["A fox"]


def test_a_file_that_was_packed_badly_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(b"prompt\nA fox\n" * 10_000)[:-30])
    assert "it cannot be read" in refused(path)


def test_a_packed_file_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    store = bucket()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    lines = "".join(f"{json.dumps(f'Animal {number}')}\n" for number in range(5_000))
    store.write("in/items.jsonl.gz", gzip.compress(lines.encode("utf-16")))
    assert prompts(f"{FOLDER}/in/items.jsonl.gz") == [f"Animal {number}" for number in range(5_000)]


# -- tables ---------------------------------------------------------------------------------------------


def missing() -> Iterator[Any]:
    rows: dict[str, list[Any]] = {
        "prompt": ["A fox", "A bear", None],
        "size": [None, "3:2", None],
        "n": [2, None, None],
        "reference_images": [["https://example.com/a.png"], None, None],
        "price": [1.5, None, None],
    }
    yield pandas.DataFrame(rows)
    yield pandas.DataFrame(rows).convert_dtypes()
    yield polars.DataFrame(rows)


@pytest.mark.parametrize("table", missing(), ids=["pandas", "pandas with its own types", "polars"])
def test_a_cell_without_a_value_says_nothing(table: Any) -> None:
    fox, bear = listed(table)
    assert fox.fields == {
        **DEFAULTS,
        "prompt": "A fox",
        "n": 2,
        "reference_images": ["https://example.com/a.png"],
    }
    assert bear.fields == {**DEFAULTS, "prompt": "A bear", "size": "3:2"}
    assert [fox.row, bear.row] == [{"price": 1.5}, {"price": None}]
    assert check(items_of(table)).notes[0] == "Empty rows that were skipped: 1."


# -- ids ------------------------------------------------------------------------------------------------


def digests(source: object) -> dict[Any, str]:
    return {item.id: item.digest for item in listed(source)}


def test_an_id_is_what_an_item_is_recognised_by() -> None:
    before = digests([{"id": 1, "prompt": "A fox"}, {"id": 2, "prompt": "A fox"}])
    after = digests(
        [{"id": "new", "prompt": "A fox"}, {"id": 2, "prompt": "A fox"}, {"id": 1, "prompt": "A fox"}]
    )
    changed = digests([{"id": 1, "prompt": "A bear"}])
    assert len({*before.values(), *after.values(), *changed.values()}) == 4
    assert {name: after[name] for name in before} == before
    assert digests([{"id": "1", "prompt": "A fox"}]) == {"1": before[1]}  # as in a CSV file


def test_items_without_an_id_are_counted_among_themselves() -> None:
    before = listed(["A fox", "A fox"])
    after = listed([{"id": 1, "prompt": "A fox"}, "A fox", "A fox"])
    assert [item.digest for item in after[1:]] == [item.digest for item in before]


@pytest.mark.parametrize(
    ("given", "is_it"),
    [(7, 7), ("sku", "sku"), (" sku ", "sku"), (7.0, 7), (1.5, "1.5"), (True, True), ((1, 2), "(1, 2)")]
    + [(nothing, None) for nothing in (None, "", "  ", float("nan"))],
)
def test_what_is_an_id(given: object, is_it: object) -> None:
    (item,) = listed([{"prompt": "A fox", "id": given}])
    assert item.id == is_it
    json.dumps(item.id, allow_nan=False)


def test_an_id_with_a_nul_is_refused() -> None:
    checked = check(items_of([{"prompt": "A fox", "id": "a\0b"}]))
    assert "NUL" in checked.refusal().message


def test_two_items_with_one_id_are_refused() -> None:
    items = [
        {"id": name, "prompt": f"Animal {number}"} for number, name in enumerate([7, "a", "b", "7", "a"])
    ]
    message = refused(items)
    assert "'7' of item 0 and item 3, 'a' of item 1 and item 4" in message
    many = refused([{"id": "x", "prompt": f"Animal {number}"} for number in range(100)])
    assert "and 94 more" in many


def warning(items: list[Any]) -> str | None:
    return check(items_of(items)).warning


def test_items_that_ask_for_the_same_are_warned_of() -> None:
    assert warning(["A fox", "A bear", {"prompt": "A fox", "size": "3:2"}]) is None
    said = warning(
        ["A fox", {"id": "b", "prompt": "A bear"}, "A fox", {"id": "a", "prompt": "A fox"}, "A fox"]
    )
    assert said is not None
    assert "3 items repeat an earlier item, such as item 2, which asks for the same as item 0" in said
    said = warning([{"id": 1, "prompt": "A fox"}, {"id": 2, "prompt": "A fox"}])
    assert said is not None
    assert "item '2', which asks for the same as item '1'" in said


def test_messages_name_an_item_by_its_id() -> None:
    problems = [{"id": "sku-7", "prompt": "A fox", "n": "2"}, {"prompt": "A fox", "n": "2"}, {"id": "SKU\n8"}]
    checked: Checked = check(items_of(["A fox", *problems]))
    message = checked.refusal().message
    assert "3 of 4 items are not allowed: item 'sku-7': n='2' is not" in message
    assert "item 2: n='2'" in message
    assert "item 'SKU\\n8': prompt=None is not allowed: there is no prompt; its keys are id" in message


def test_files_that_are_named_by_ids_need_them() -> None:
    items = Items(["A fox", {"id": 1, "prompt": "A"}], DEFAULTS, "batch", Columns(), needs_ids=True)
    assert "item 0: id=None is not allowed" in check(items).refusal().message
    assert "1 of 2 items" in check(items).refusal().message


def test_a_column_of_a_table_is_a_list_of_prompts() -> None:
    rows = {"prompt": ["A fox", "A bear"]}
    assert (
        prompts(pandas.DataFrame(rows)["prompt"])
        == prompts(polars.DataFrame(rows)["prompt"])
        == rows["prompt"]
    )
