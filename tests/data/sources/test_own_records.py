"""Own JSON as it comes, and as it should not; encodings that lack their mark; long cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from missrec.data.sources.lines import stream_lines
from shop import BY_TIME, CLICKS, Shop

ROWS = [
    {"who": who, "what": int(what), "when": int(when), "early": False, "text": 'it\'s "1"'}
    for who, what, when in (line.split(",") for line in CLICKS.splitlines()[1:])
]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("name", ["b.json", "b.jsonl", "b"])
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("{'who'", "{u'who'"), ("{'who'", " { 'who'"), (": 1", ": 1L")]
)
def test_objects_as_python_writes_them_are_read(
    shop: Shop, name: str, before: str, after: str
) -> None:
    content = "".join(f"{row}\n".replace(before, after) if before else f"{row}\n" for row in ROWS)
    if "1L" in after:  # of Python 2
        with pytest.raises(ValueError, match="is no JSON: nor one of Python: "):
            shop.read_clicks(content, name)
    else:
        assert shop.read_clicks(content, name) == BY_TIME


@pytest.mark.parametrize("line", ["{'who': f()}", "{'who': 'a'", "{'who': " + "[" * 300, "{'who'}"])
def test_what_is_no_object_of_python_either_is_a_bad_row(shop: Shop, line: str) -> None:
    content = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    assert shop.read_clicks(f"{content}{line}\n", "b.jsonl", max_share=0.5) == BY_TIME
    assert shop.rejects()[0][1] == 7


@pytest.mark.parametrize("content", [json.dumps(ROWS), json.dumps(ROWS, indent=2)])
def test_an_array_in_a_file_of_lines_is_read(shop: Shop, content: str) -> None:
    assert shop.read_clicks(content, "b.jsonl") == BY_TIME


COLUMNS = {name: {str(place): row[name] for place, row in enumerate(ROWS)} for name in ROWS[0]}


@pytest.mark.parametrize("name", ["b.json", "b.jsonl"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(COLUMNS), "has an object a column, as pandas' to_json() writes it"),
        (json.dumps({"data": ROWS}), "has its rows in 'data' of an object"),
        (json.dumps({"n": 6, "rows": [[1, 2]]}), "has its rows in 'rows' of an object"),
        (json.dumps({"data": ROWS}, indent=2), "has an object over several lines"),
        (json.dumps(ROWS[0], indent=2), "has an object over several lines"),
        ('{"data": [\n{}]}', "has an object over several lines"),
    ],
)
def test_other_shapes_of_json_are_named_with_what_is_expected(
    shop: Shop, name: str, content: str, said: str
) -> None:
    with pytest.raises(ValueError, match="expected is an object a line") as raised:
        shop.read_clicks(content, name)
    assert f"{name} {said}" in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("told", ["utf-16", "UTF16"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_needs_no_mark(shop: Shop, told: str, encoding: str) -> None:
    assert shop.read_clicks(CLICKS.encode(encoding), encoding=told) == BY_TIME


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be", "utf-32"])
def test_utf_32_needs_no_mark(shop: Shop, encoding: str) -> None:
    assert shop.read_clicks(CLICKS.encode(encoding), encoding="utf-32") == BY_TIME


@pytest.mark.parametrize("content", [CLICKS.encode(), "名,前\n".encode("utf-16-le")])
def test_utf_16_whose_order_cannot_be_seen_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"b.csv does not begin .* set encoding=utf-16-le or utf-"):
        list(stream_lines(path, remedy="", encoding="utf-16"))


def test_a_long_cell_makes_no_long_message(shop: Shop) -> None:
    row = {**ROWS[0], "when": {"a": "x" * 10_000}}
    content = "".join(f"{json.dumps(one)}\n" for one in [*ROWS, row])
    with pytest.raises(ValueError, match="1 of 7 rows cannot be used") as raised:
        shop.read_clicks(content, "b.jsonl")
    assert len(str(raised.value)) < 1200
