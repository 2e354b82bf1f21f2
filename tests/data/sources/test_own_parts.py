"""Which files own data is read from: named twice, by patterns, in folders, without a suffix."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.parts import find_parts
from shop import CLICKS, Orders, Shop, sequences

BY_FILE = {"ann": ["1", "2", "3"], "bob": ["1", "1", "2"]}
HALVES = [CLICKS[: CLICKS.index("bob")], "who,what,when\n" + CLICKS[CLICKS.index("bob") :]]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def write(shop: Shop, name: str, content: str | bytes) -> None:
    (shop.folder / name).parent.mkdir(parents=True, exist_ok=True)
    shop.write(name, content)


def read(shop: Shop, named: str | list[str], **changes: Any) -> Orders:
    return sequences(shop.read(named, **{"items": None, "time": None, **changes}))


@pytest.mark.parametrize(
    "named",
    [
        ["o/c-1.csv", "o/c-*.csv"],
        ["o/c-*.csv", "o/c-1.csv"],
        ["o", "o/c-2.csv"],
        ["o/c-1.csv", "./o/../o/c-1.csv", "o/c-2.csv"],
        ["o/c-1.csv", "link.csv", "o/c-2.csv"],
        ["o", "o/"],
    ],
)
def test_a_file_that_is_named_twice_counts_once(shop: Shop, named: list[str]) -> None:
    for number, half in enumerate(HALVES, start=1):
        write(shop, f"o/c-{number}.csv", half)
    (shop.folder / "link.csv").symlink_to(shop.folder / "o" / "c-1.csv")
    assert read(shop, named) == BY_FILE


@pytest.mark.parametrize("named", ["o", "o/*", ["o/c.csv", "o/c.csv.gz"]])
def test_a_file_and_its_packed_copy_are_refused(shop: Shop, named: str | list[str]) -> None:
    write(shop, "o/c.csv", CLICKS)
    write(shop, "o/c.csv.gz", gzip.compress(CLICKS.encode()))
    with pytest.raises(ValueError, match=r"c.csv and .*c.csv.gz are one file, packed and not"):
        read(shop, named)


def test_a_file_in_two_formats_is_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    write(shop, "o/c.csv", HALVES[0])
    rows = [{"who": "bob", "what": item, "when": 1} for item in (1, 1, 2)]
    write(shop, "o/c.json", json.dumps(rows))
    assert read(shop, "o") == BY_FILE
    assert "are both read; name one if they hold the same" in caplog.text


def test_equal_files_are_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("c.csv", "c - Copy.csv"):
        write(shop, f"o/{name}", CLICKS)
    write(shop, "o/d.csv", HALVES[0])
    shop.read("o", items=None)
    assert caplog.text.count("are equal and both read; name one if it is a copy") == 1


ROWS = "".join(CLICKS.splitlines(keepends=True)[1:])
NAMED = {"columns": ["who", "what", "when"]}


@pytest.mark.parametrize(
    ("name", "content", "changes"),
    [
        ("u.data", ROWS.replace(",", "\t"), NAMED),
        ("clicks.log", CLICKS, {}),
        ("clicks", CLICKS.replace(",", ";"), {}),
        ("part-00000", ROWS, NAMED),
        ("part-00000.gz", gzip.compress(ROWS.encode(), mtime=0), NAMED),
        ("000000_0", ROWS.replace(",", "\x01"), {**NAMED, "delimiter": "\x01"}),
        ("clicks.data", CLICKS.encode("utf-16"), {}),
        (
            "clicks.v2",
            '{"who":"ann","what":1}\n{"who":"ann","what":2}\n{"who":"ann","what":3}\n',
            {},
        ),
    ],
)
@pytest.mark.parametrize("folder", ["", "o/"])
def test_a_file_whose_suffix_says_nothing_is_known_by_its_content(
    shop: Shop, name: str, content: str | bytes, changes: dict[str, Any], folder: str
) -> None:
    write(shop, f"{folder}{name}", content)
    expected = {"ann": BY_FILE["ann"]} if name == "clicks.v2" else BY_FILE
    assert read(shop, f"{folder}{name}", **changes) == expected


def test_a_folder_of_parts_without_suffixes_is_read(shop: Shop) -> None:
    for number, half in enumerate(HALVES):
        write(shop, f"o/part-0000{number}", half)
    write(shop, "o/_SUCCESS", "")
    write(shop, "o/.part-00000.crc", b"crc\0")
    assert read(shop, "o") == BY_FILE
    assert read(shop, "o/*") == BY_FILE


def test_parquet_without_a_suffix_is_read(shop: Shop) -> None:
    pl.read_csv(CLICKS.encode()).write_parquet(shop.folder / "part-0")
    assert read(shop, "part-0") == BY_FILE


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xlsx", b"PK\x03\x04"),
        ("a.zip", b"PK\x03\x04"),
        ("a.csv.bz2", b"BZh91AY"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0)),
        ("a", b"a\0b"),
        ("a.gz", b"\x1f\x8b"),
    ],
)
def test_what_is_no_text_is_refused_with_what_can_be_read(
    shop: Shop, name: str, content: bytes
) -> None:
    write(shop, name, content)
    with pytest.raises(ValueError, match=r"cannot read .*, expected \.csv, .*, \.parquet, or"):
        read(shop, name)


def test_files_of_a_folder_that_are_left_out_are_told(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    write(shop, "o/c.csv", CLICKS)
    write(shop, "o/notes.md", "no data")
    write(shop, "o/.hidden.csv", "no data")
    assert read(shop, "o") == BY_FILE
    assert "o: 1 files are left out" in caplog.text
    assert "such as notes.md" in caplog.text


def test_a_file_of_a_folder_that_is_no_data_is_named(shop: Shop) -> None:
    write(shop, "o/c.csv", CLICKS)
    write(shop, "o/README.txt", "Clicks of the shop, of 2019.\nMany.\n")
    with pytest.raises(ValueError, match=r"README.txt has no column 'who'"):
        read(shop, "o")


@pytest.mark.parametrize("empty", [b"", "\ufeff".encode(), b"\n\n"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_empty_part_has_no_rows(shop: Shop, empty: bytes, place: int) -> None:
    contents: list[str | bytes] = list(HALVES)
    contents.insert(place, empty)
    for number, content in enumerate(contents):
        write(shop, f"o/part-{number}.csv", content)
    assert read(shop, "o") == BY_FILE


@pytest.mark.parametrize("named", ["e.csv", ["e.csv", "f.csv"]])
def test_empty_parts_alone_are_refused(shop: Shop, named: str | list[str]) -> None:
    for name in ("e.csv", "f.csv"):
        write(shop, name, "")
    with pytest.raises(
        ValueError, match=r"e.csv.* has no column 'who', .*; there is not a line in it"
    ):
        read(shop, named)


DATES = ["2024-01-01", "2024-01-02", "2024-01-03"]


def write_days(shop: Shop, kind: str) -> None:
    """A file for each day, in which ann took an item and bob another."""
    for day, date in enumerate(DATES):
        rows = [{"who": "ann", "what": day}, {"who": "bob", "what": 9 - day}]
        path = shop.folder / "h" / f"date={date}" / f"p.{kind}"
        path.parent.mkdir(parents=True)
        if kind == "parquet":
            pl.DataFrame(rows).write_parquet(path)
        elif kind == "csv":
            pl.DataFrame(rows).write_csv(path)
        else:
            pl.DataFrame(rows).write_ndjson(path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize(
    "named",
    [
        "h",
        "h/*",
        "h/*/p.*",
        "h/date=2024-01-0*",
        "h/**/p.*",
        "*/*/p.*",
        [f"h/date={date}" for date in reversed(DATES)],
        [f"h/date={date}/p.*" for date in reversed(DATES)],
    ],
)
def test_folders_above_what_is_named_name_columns(
    shop: Shop, kind: str, named: str | list[str]
) -> None:
    write_days(shop, kind)
    assert read(shop, named, time="date") == {"ann": ["0", "1", "2"], "bob": ["9", "8", "7"]}


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_column_of_the_file_goes_before_a_folder_above_it(shop: Shop, kind: str) -> None:
    folder = shop.folder / "who=eve"
    folder.mkdir()
    table = pl.read_csv(CLICKS.encode())
    table.write_csv(folder / "c.csv")
    table.write_parquet(folder / "c.parquet")
    table.write_ndjson(folder / "c.jsonl")
    assert read(shop, f"who=eve/c.{kind}") == BY_FILE


def test_a_pattern_may_stand_below_a_folder_whose_name_looks_like_one(shop: Shop) -> None:
    write(shop, "a [1]/c-1.csv", CLICKS)
    assert read(shop, "a [1]/c-*.csv") == BY_FILE


def test_a_name_that_the_settings_would_fill_in_is_had_by_a_pattern(shop: Shop) -> None:
    write(shop, "${x}.csv", CLICKS)
    assert read(shop, "?{x}.csv") == BY_FILE


def test_a_tilde_is_the_home_folder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(shop.folder))
    for named in ("~/clicks.csv", "~/cl*.csv"):
        assert [part.name for part in find_parts(named)] == ["clicks.csv"]
    with pytest.raises(FileNotFoundError, match=r"~nobody9/c.csv is missing"):
        find_parts("~nobody9/c.csv")
