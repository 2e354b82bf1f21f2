"""Histories and lists of keys in any format, with the callers' own keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.delimited import Layout
from missrec.data.sources.histories import HistoryColumns, read_histories, read_keys
from missrec.data.sources.lines import Rejects

COLUMNS = HistoryColumns("history", "items", "item")
LISTS: dict[str, list[Any]] = {"s1": ["a", "b"], "s2": [], 'q"1,': ["a, b", "a"]}
ROWS = "history,item\ns1,a\ns2,c\ns1,b\n"


def rejects(folder: Path, max_share: float = 0.0) -> Rejects:
    return Rejects(path=str(folder / "rejects.csv"), max_share=max_share)


def read(path: Path, *, max_share: float = 0.0, columns: HistoryColumns = COLUMNS) -> Any:
    found: dict[str, list[str]] = {}

    def take(key: str, items: Any) -> None:
        found[key] = list(items)

    with rejects(path.parent, max_share) as listed:
        read_histories(str(path), columns, layout=Layout(), rejects=listed, take=take)
    return found


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_lists_are_the_same_of_every_format(tmp_path: Path) -> None:
    table = pl.DataFrame({"history": list(LISTS), "items": list(LISTS.values())})
    table.write_parquet(tmp_path / "h.parquet")
    table.write_ndjson(tmp_path / "h.jsonl")
    texts = table.with_columns(pl.Series("items", [json.dumps(one) for one in LISTS.values()]))
    texts.write_csv(tmp_path / "h.csv")
    for suffix in ("parquet", "jsonl", "csv"):
        assert read(tmp_path / f"h.{suffix}") == LISTS, suffix


@pytest.mark.parametrize("cell", ["['a', 'b']", '["a","b"]', "['a' 'b']"])
def test_a_list_may_be_written_as_json_python_or_numpy_does(tmp_path: Path, cell: str) -> None:
    content = 'history,items\ns,"{}"\n'.format(cell.replace('"', '""'))
    assert read(written(tmp_path / "h.csv", content)) == {"s": ["a", "b"]}


def test_numbers_are_keys_as_they_are_written(tmp_path: Path) -> None:
    lines = '{"history": 7, "items": [1, 2.0, "03"]}\n'
    assert read(written(tmp_path / "h.jsonl", lines)) == {"7": ["1", "2", "03"]}
    assert read(written(tmp_path / "h.csv", 'history,items\n7,"[1, 2]"\n')) == {"7": ["1", "2"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("h.csv", ROWS),
        ("h.tsv", ROWS.replace(",", "\t")),
        ("h.csv", ROWS.replace(",", ";")),
        ("h.jsonl", '{"history":"s1","item":"a"}\n{"history":"s2","item":"c"}\n'
                    '{"history":"s1","item":"b"}\n'),
    ],
)  # fmt: skip
def test_rows_of_a_history_need_not_stand_together(tmp_path: Path, name: str, content: str) -> None:
    assert read(written(tmp_path / name, content)) == {"s1": ["a", "b"], "s2": ["c"]}


def test_histories_come_in_the_order_of_their_first_rows(tmp_path: Path) -> None:
    content = "history,item\nz,a\nb,a\nz,b\na,c\nb,a\n"
    assert list(read(written(tmp_path / "h.csv", content)).items()) == [
        ("z", ["a", "b"]),
        ("b", ["a", "a"]),
        ("a", ["c"]),
    ]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", "session,when,sku\ns,1,a\n")
    assert read(path, columns=HistoryColumns("session", "items", "sku")) == {"s": ["a"]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("h.csv", "history,sku\ns,a\n", "neither a column 'items' of lists nor a column 'item'"),
        ("h.csv", "session,item\ns,a\n", "no column 'history'"),
        ("h.jsonl", '{"history":"s","sku":["a"]}\n', "no row has 'item'|item is missing"),
        ("h.csv", 'history,items\ns,"[]"\ns,"[]"\n', "'s' is there a second time"),
        ("h.csv", "history,items\ns,a b\n", "items is no list of keys"),
        ("h.csv", "history,item\ns,\n", "item is missing"),
        ("h.jsonl", '{"history":"s\\u0007","items":[]}\n', "history holds a control character"),
        ("h.jsonl", '{"history":"a\\nb","items":["x"]}\n', "history holds a control character"),
        ("h.jsonl", '{"history":"s","items":["a",null]}\n', "items is missing"),
        ("h.jsonl", '{"history":"s","items":[{"a":1}]}\n', "is no id"),
        ("h.csv", "", "there is not a line in it"),
        ("h.xlsx", "PK\x03\x04", "cannot read .xlsx"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(written(tmp_path / name, content))


def test_bad_rows_up_to_a_share_are_left_out_and_listed(tmp_path: Path) -> None:
    lines = '{"history":"s","items":["a"]}\n{"history":"t","items":5}\n'
    assert read(written(tmp_path / "h.jsonl", lines), max_share=0.5) == {"s": ["a"]}
    assert "items is no list" in (tmp_path / "rejects.csv").read_text()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.txt", "b\n\na\nb\n"),
        ("k.txt", "item\nb\na\n"),
        ("k.csv", "price,item\n1,b\n2,a\n3,b\n"),
        ("k.jsonl", '{"item":"b"}\n{"item":"a"}\n'),
    ],
)
def test_a_list_of_keys_is_read_each_once_in_order(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path / name, content)
    with rejects(tmp_path) as listed:
        assert read_keys(str(path), "item", layout=Layout(), rejects=listed) == ["b", "a"]


def test_a_key_of_a_line_may_hold_commas_and_quotes(tmp_path: Path) -> None:
    path = written(tmp_path / "k.txt", 'a, "b"\nc\n')
    with rejects(tmp_path) as listed:
        assert read_keys(str(path), "item", layout=Layout(), rejects=listed) == ['a, "b"', "c"]
