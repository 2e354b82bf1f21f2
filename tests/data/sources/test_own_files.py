"""Own files as they come: suffixes, encodings, dialects, several files, odd names."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shop import BY_TIME, CLICKS, Shop, sequences

ROWS = [line.split(",") for line in CLICKS.splitlines()]
HEADER, BODY = ROWS[0], ROWS[1:]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def joined(delimiter: str, rows: list[list[str]] = ROWS) -> str:
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


def objects(**more: Any) -> list[dict[str, Any]]:
    return [{**dict(zip(HEADER, row, strict=True)), **more} for row in BODY]


ATOMIC = joined("\t", [["who:token", "what:token", "when:float"], *BODY])


@pytest.mark.parametrize(
    ("name", "content", "changes"),
    [
        ("b.json", "".join(f"{json.dumps(row)}\n" for row in objects()), {}),
        ("b.json", json.dumps(objects()), {}),
        ("b.json", json.dumps(objects(), indent=2), {}),
        ("b.json", "\ufeff\n" + json.dumps(objects()), {}),
        ("b.ndjson", "".join(f"{json.dumps(row)}\n\n" for row in objects()), {}),
        ("b.JSON", json.dumps(objects()), {}),
        ("b.txt", joined("\t"), {}),
        ("b.txt", joined(" "), {}),
        ("b.txt", joined(" ", BODY), {"columns": HEADER}),
        ("b.dat", joined("::"), {}),
        ("b.dat", joined("::"), {"delimiter": "::"}),
        ("b.dat", joined("::", BODY), {"delimiter": "::", "columns": HEADER}),
        ("b.csv", joined("::"), {"delimiter": "::"}),
        ("b.csv", joined(";"), {}),
        ("b.csv", joined("|"), {"delimiter": "|"}),
        ("b.csv", joined("^A"), {"delimiter": "^A"}),
        ("b.csv", "sep=;\n" + joined(";"), {}),
        ("b.csv", joined("\t"), {"delimiter": r"\t"}),
        ("b.csv", joined(",", BODY), {"columns": HEADER}),
        ("b.csv", CLICKS, {"columns": HEADER}),  # it has the header all the same
        ("b.tsv", joined("\t"), {"delimiter": ","}),  # as a copy of the settings may still say
        ("b.inter", ATOMIC, {}),
        ("b.inter", ATOMIC, {"user": "who:token", "item": "what:token", "time": "when:float"}),
        ("b.csv", ATOMIC.replace("\t", ","), {}),
        ("b.csv", CLICKS.replace("\n", "\r"), {}),
        ("b.csv", CLICKS.replace("\n", "\r\n"), {}),
        ("b.csv", CLICKS.replace("who,", " who ,"), {}),
        ("B.CSV", CLICKS, {}),
        ("clicks (1)=a, b.csv", CLICKS, {}),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_known_by_suffix_and_first_line(
    shop: Shop, name: str, content: str, changes: dict[str, Any], packed: bool
) -> None:
    raw = content.encode()
    named = f"{name}.gz" if packed else name
    assert shop.read_clicks(gzip.compress(raw) if packed else raw, named, **changes) == BY_TIME


@pytest.mark.parametrize("name", ["b.csv", "b", "b.data"])
def test_a_packed_file_whose_name_does_not_say_so_is_read(shop: Shop, name: str) -> None:
    assert shop.read_clicks(gzip.compress(CLICKS.encode()), name) == BY_TIME


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("latin-1", True),
        ("cp1252", True),
        ("utf-16", False),
        ("utf-16-le", False),
        ("utf-16-be", False),
        ("utf-32", False),
        ("utf-8-sig", False),
        ("gb18030", True),
        ("shift_jis", True),
    ],
)
def test_texts_of_any_encoding_are_read(shop: Shop, encoding: str, told: bool) -> None:
    word = {"gb18030": "厨房", "shift_jis": "キッチン"}.get(encoding, "Küche")
    lines = f"sku,name\n1,{word}\n2,Ink\n3,Pad\n"
    shop.write("p.csv", lines.encode(encoding))
    of_items = {"texts": ["name"], "images": [], **({"encoding": encoding} if told else {})}
    prepared = shop.read(items="p.csv", of_items=of_items)
    assert prepared.item_texts == [f"{word}.", "Ink.", "Pad."]
    assert sequences(prepared) == BY_TIME


def test_utf_16_without_a_mark_is_known_by_its_zeros(shop: Shop) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert shop.read_clicks(CLICKS.encode(encoding)) == BY_TIME


def test_rows_that_are_not_of_the_encoding_are_counted_with_what_they_may_be(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write("p.csv", "sku,name\n1,Küche\n2,Ink\n3,Föhn\n".encode("cp1252"))
    prepared = shop.read(items="p.csv", of_items={"texts": ["name"], "images": []})
    assert prepared.item_texts == ["K\ufffdche.", "Ink.", "F\ufffdhn."]
    assert "p.csv: 2 rows hold bytes that are no UTF-8, the first is 2" in caplog.text
    assert "set encoding, such as cp1252, which makes it '1,Küche'" in caplog.text


def test_bytes_of_parquet_are_of_the_encoding_or_counted(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"sku": [b"1", b"2", b"3"], "name": ["Küche".encode("cp1252"), b"Ink", None]}
    pl.DataFrame(table).write_parquet(shop.folder / "p.parquet")
    of_items = {"texts": ["name"], "images": []}
    prepared = shop.read(items="p.parquet", of_items=of_items)
    assert prepared.item_texts == ["K\ufffdche.", "Ink.", ""]
    assert "1 rows hold bytes that are no utf-8, the first is 1: 'K\ufffdche'" in caplog.text
    prepared = shop.read(items="p.parquet", of_items={**of_items, "encoding": "cp1252"})
    assert prepared.item_texts == ["Küche.", "Ink.", ""]


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", ""])
def test_an_encoding_that_there_is_not_is_refused(shop: Shop, encoding: str) -> None:
    with pytest.raises(ValueError, match=rf"encoding \('{encoding}'\) is none of a text"):
        shop.read(encoding=encoding)


def test_a_field_of_any_length_is_read(shop: Shop) -> None:
    long = "x" * 200_000
    shop.write("p.csv", f'sku,name\n1,{long}\n2,"{long}, y"\n3,Pad\n')
    prepared = shop.read(items="p.csv", of_items={"texts": ["name"], "images": []})
    assert [len(text) for text in prepared.item_texts] == [200_001, 200_004, 4]


TITLES = ['"Great" pens', 'Ink 5" wide', '"Pad']
"""As they stand in files whose quotes are letters."""


@pytest.mark.parametrize(("name", "changes"), [("p.tsv", {"quoting": "none"}), ("p.item", {})])
def test_quotes_may_be_letters(shop: Shop, name: str, changes: dict[str, Any]) -> None:
    lines = [["sku", "name"], *([str(sku), text] for sku, text in enumerate(TITLES, start=1))]
    shop.write(name, joined("\t", lines))
    prepared = shop.read(items=name, of_items={"texts": ["name"], "images": [], **changes})
    assert prepared.item_texts == ["Great pens.", "Ink 5 wide.", "Pad."]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('a,2,"2', "unexpected end of data; a double quote opens there"),
        ('a,"2"x,2', "a double quote opens there and does not close before a delimiter"),
        ('"a,2,2', "unexpected end of data"),
        ("a,2", "has 2 fields, the header has 3"),
        ('a,"2\n3",3,3', "a double quote opens there and closes 1 lines below, in another row"),
    ],
)
def test_a_bad_row_is_rejected_and_not_the_file(shop: Shop, bad: str, said: str) -> None:
    rows = f"{CLICKS}{bad}\ncarl,1,1\ncarl,2,2\ncarl,3,3\n"
    found = shop.read_clicks(rows, max_share=0.5)
    assert found == {**BY_TIME, "carl": ["1", "2", "3"]}
    assert shop.rejects()[0][1] == 8
    assert said in shop.rejects()[0][2]


def test_a_quote_between_tabs_that_closes_in_another_row_takes_no_row_with_it(shop: Shop) -> None:
    body = [["1", "Pen"], ["2", "Ink"], ["8", '"Big'], ["9", 'Small"'], ["3", "Pad"]]
    shop.write("p.tsv", joined("\t", [["sku", "name"], *body]))
    of_items = {"texts": ["name"], "images": []}
    prepared = shop.read(items="p.tsv", of_items=of_items, max_share=0.5)
    assert prepared.item_keys == ["1", "2", "3", "9"]
    assert shop.rejects()[0][:2] == ("p.tsv", 4)
    assert "closes 1 lines below, each a row" in shop.rejects()[0][2]


@pytest.mark.parametrize(
    "lines",
    [
        'sku,name\n1,"Pen, ""blue"""\n2,"Ink\nblack"\n3,Pad\n',
        'sku,name\n"1","Pen, ""blue"""\n"2","Ink\r\nblack"\n"3","Pad"\n',
        'sku\tname\n1\t"Pen, ""blue"""\n2\t"Ink\nblack"\n3\tPad\n',
    ],
)
def test_quoted_fields_may_hold_delimiters_quotes_and_lines(shop: Shop, lines: str) -> None:
    name = "p.tsv" if "\t" in lines else "p.csv"
    shop.write(name, lines)
    prepared = shop.read(items=name, of_items={"texts": ["name"], "images": []})
    assert prepared.item_texts == ["Pen, blue.", "Ink black.", "Pad."]


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        ("sku,name\n1,Pen\\, blue\n2,Ink\\\nblack\n3,Pad\n", {"quoting": "none"}),
        ('sku,name\n1,"Pen, \\"blue\\""\n2,"Ink\nblack"\n3,Pad\n', {}),
    ],
)
def test_a_backslash_may_take_the_meaning_from_the_next_letter(
    shop: Shop, lines: str, changes: dict[str, Any]
) -> None:
    shop.write("p.csv", lines)
    of_items = {"texts": ["name"], "images": [], "escape": "\\", **changes}
    prepared = shop.read(items="p.csv", of_items=of_items)
    assert [text.replace('"', "") for text in prepared.item_texts] == [
        "Pen, blue.",
        "Ink black.",
        "Pad.",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"delimiter": ""}, r"delimiter \(''\) must be one or more characters"),
        ({"delimiter": '"'}, r"delimiter \('\"'\) must be .* none of them a double quote"),
        ({"quoting": "all"}, r"quoting \('all'\) must be one of standard, none"),
        ({"escape": "ab"}, r"escape \('ab'\) must be one character"),
        ({"escape": "\\", "delimiter": "::"}, r"escape needs a delimiter of one character"),
        ({"mixed_units": "s"}, r"mixed_units \('s'\) must be one of refuse, by_size, as_is"),
        ({"time_scale": 0}, r"time_scale \(0\) must be a number above 0"),
        ({"time_scale": float("nan")}, r"time_scale \(nan\) must be a number above 0"),
    ],
)
def test_settings_of_a_file_that_cannot_be_are_refused(
    shop: Shop, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        shop.read(**changes)


def split_in(write: Callable[[str, str], object], folder: str) -> None:
    """The clicks in twelve files, whose order as texts is not that of their numbers."""
    lines = [",".join(row) for row in BODY]
    for place in range(12):
        part = "\n".join([CLICKS.splitlines()[0], *lines[place : place + 1]])
        write(f"{folder}part-{place}.csv", part)


@pytest.mark.parametrize("time", ["when", None])
def test_a_folder_is_its_files_in_the_order_of_their_numbers(shop: Shop, time: str | None) -> None:
    (shop.folder / "clicks").mkdir()
    split_in(shop.write, "clicks/")
    for name in ("_SUCCESS", ".part-0.csv.crc", "README.md"):
        shop.write(f"clicks/{name}", "no data")
    expected = BY_TIME if time else {"ann": ["1", "2", "3"], "bob": ["1", "1", "2"]}
    prepared = shop.read("clicks", time=time)
    assert sequences(prepared) == expected
    assert len(prepared.settings["files"]) == 13
    assert "part-11.csv" in prepared.settings["files"]


def test_a_pattern_and_a_list_name_several_files(shop: Shop) -> None:
    split_in(shop.write, "")
    assert sequences(shop.read("part-*.csv")) == BY_TIME
    pl.DataFrame(objects()[4:]).write_parquet(shop.folder / "rest.parquet")
    named = [f"part-{place}.csv" for place in range(4)]
    assert sequences(shop.read([*named, "rest.parquet"])) == BY_TIME


def test_folders_of_partitions_name_columns(shop: Shop) -> None:
    for who in ("ann", "bob"):
        (shop.folder / "clicks" / f"who={who}").mkdir(parents=True)
        rows = [{"what": int(row[1]), "when": int(row[2])} for row in BODY if row[0] == who]
        pl.DataFrame(rows).write_parquet(shop.folder / "clicks" / f"who={who}" / "0.parquet")
    prepared = shop.read("clicks")
    assert sequences(prepared) == BY_TIME
    assert {"who=ann/0.parquet", "who=bob/0.parquet"} < set(prepared.settings["files"])


def test_the_share_of_bad_rows_is_that_of_all_files(shop: Shop) -> None:
    split_in(shop.write, "")
    shop.write("part-9.csv", "who,what,when\nann,1\n")
    assert sequences(shop.read("part-*.csv", max_share=0.2)) == BY_TIME
    assert shop.rejects()[0][:2] == ("part-9.csv", 2)
    with pytest.raises(ValueError, match=r"part-0.csv and 11 more: 1 of 7 rows cannot be used"):
        shop.read("part-*.csv", max_share=0.1)


@pytest.mark.parametrize(
    ("name", "said"),
    [("empty", "empty holds no file that can be read"), ("x-*.csv", r"x-\*.csv is missing")],
)
def test_names_of_no_file_are_refused(shop: Shop, name: str, said: str) -> None:
    (shop.folder / "empty").mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError, match=said):
        shop.read(name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"who": "a"}, {"who"', "b.json, entry 2 is no JSON"),
        (b'[{"who": "a"} {}]', "b.json is no JSON array after entry 1; copy it again"),
        (b"[", "b.json, entry 1 is no JSON"),
        (b"[[1]", "b.json is no JSON array after entry 1"),
        (b"[" * 99_999, "b.json, entry 1 is no JSON"),
    ],
)
def test_an_array_that_is_cut_is_refused(shop: Shop, content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        shop.read_clicks(content, "b.json", max_share=1)


def test_damaged_parquet_is_refused_wherever_the_damage_is(shop: Shop) -> None:
    pl.DataFrame(objects()).write_parquet(shop.folder / "b.parquet")
    whole = (shop.folder / "b.parquet").read_bytes()
    refused = 0
    for place in range(4, len(whole), 7):
        shop.write("b.parquet", whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            shop.read("b.parquet", max_share=1)
        except ValueError:
            refused += 1
    assert refused > len(whole) // 7 // 2
