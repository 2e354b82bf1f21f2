"""Ids that tools wrote in two ways are one id where nothing says otherwise."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.keys import known_spelling, one_spelling, read_key
from shop import Shop, sequences


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def products(*keys: str) -> str:
    return "sku,name\n" + "".join(f"{key},Thing {key}\n" for key in keys)


PLAIN = {"of_items": {"texts": ["name"], "images": []}}


@pytest.mark.parametrize(
    ("taken", "known", "meant"),
    [
        (["7", "8.0", "9.0"], ["7", "8", "9"], ["7", "8", "9"]),
        (["7.0", "8.0", "9.00"], ["7", "8", "9"], ["7", "8", "9"]),
        (["7", "8", "9.0"], ["7.0", "8.0", "9.0"], ["7.0", "8.0", "9.0"]),
        (["7", "7.0", "8.0"], ["7", "7.0", "8"], ["7", "7", "8"]),
        (
            ["7", "7.0", "8.0"],
            ["7", "7.0", "8.0", "8.5"],
            ["7", "7.0", "8.0"],
        ),  # numbers with decimals
        (["7.0", "7", "1.5"], ["7.0", "7", "1.5"], ["7.0", "7", "1.5"]),
        (["-7.0", "8", "A.0"], ["-7", "8", "A.0"], ["-7", "8", "A.0"]),
    ],
)
def test_an_item_is_found_by_its_number_however_it_is_written(
    shop: Shop, taken: list[str], known: list[str], meant: list[str]
) -> None:
    shop.write("p.csv", products(*known))
    rows = "".join(f"a,{key},{place}\n" for place, key in enumerate(taken))
    found = shop.read_clicks(f"who,what,when\n{rows}", items="p.csv", **PLAIN)
    assert found == {"a": meant}


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        (["7", "7.0", "8"], ["7", "7", "8"]),
        (["7.", "guest", "8.00"], ["7", "guest", "8"]),
        (["7", "7.0", "7.5"], ["7", "7.0", "7.5"]),  # numbers with decimals
        (["1.0", "1.0.1"], ["1.0", "1.0.1"]),  # versions
        (["007", "7.0"], ["007", "7"]),
        (["u7.0", "7"], ["u7.0", "7"]),
    ],
)
def test_users_are_one_where_the_column_has_whole_numbers(
    keys: list[str], meant: list[str]
) -> None:
    assert one_spelling(pl.Series(keys)).to_list() == meant


@pytest.mark.parametrize(
    ("keys", "meant", "names"),
    [
        (["7", "8", "7.0", "10.0", "8.0"], ["10", "7", "8"], ["10.0", "7", "8"]),
        (["3.0", "3"], ["3"], ["3.0"]),
        (["3", "A", "3.00"], ["3", "A"], ["3", "A"]),
        (["3.0", "4.0"], ["3.0", "4.0"], ["3.0", "4.0"]),  # as they are, none twice
        (["3", "3.0", "3.5"], ["3", "3.0", "3.5"], ["3", "3.0", "3.5"]),
    ],
)
def test_items_written_both_ways_are_one_item_the_first(
    shop: Shop, keys: list[str], meant: list[str], names: list[str]
) -> None:
    shop.write("p.csv", products(*keys))
    rows = "".join(f"a,{key},{place}\n" for place, key in enumerate([*keys, *keys[:1] * 2]))
    shop.write("b.csv", f"who,what,when\n{rows}")
    prepared = shop.read("b.csv", items="p.csv", **PLAIN)
    assert prepared.item_keys == meant
    assert prepared.item_texts == [f"Thing {name}." for name in names]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["1", "2", "1", "3", "1"], "2 of 5 rows list an item again, such as '1'; of each the fir"),
        (["1", "2", "3", "2.0"], "1 of 4 rows list an item again, such as '2'; of each the first "),
        (["1", "2", "3", "2.0"], "1 keys have decimals that others lack, '2.0' is read as '2'"),
    ],
)
def test_items_that_are_listed_again_are_said(
    shop: Shop, caplog: pytest.LogCaptureFixture, keys: list[str], said: str
) -> None:
    shop.write("p.csv", products(*keys))
    assert shop.read_clicks("who,what,when\na,1,1\na,2,2\na,3,3\n", items="p.csv", **PLAIN)
    assert said in caplog.text


@pytest.mark.parametrize("null", ["\\N", "nan", "NaN", "NULL", "null", "None", " <NA> "])
def test_what_tools_write_for_nothing_is_no_user_and_no_item(shop: Shop, null: str) -> None:
    rows = f"a,1,1\n{null},2,2\na,2,3\na,{null},4\n{null},3,5\na,3,6\n"
    found = shop.read_clicks(f"who,what,when\n{rows}", max_share=0.5)
    assert found == {"a": ["1", "2", "3"]}
    assert [row[2] for row in shop.rejects()] == [
        *("who is missing", "what is missing", "who is missing"),
    ]


@pytest.mark.parametrize("name", ["Nan", "NA", "N", "none", "Null", "nancy", "n/a"])
def test_what_is_like_nothing_may_be_a_name(name: str) -> None:
    assert read_key(name, "who") == name


def test_users_written_both_ways_have_one_sequence(shop: Shop) -> None:
    rows = "who,what,when\n5,1,1\n5.0,2,2\n5,3,3\n"
    assert shop.read_clicks(rows) == {"5": ["1", "2", "3"]}


def test_an_item_that_two_known_ones_could_be_stays_unknown() -> None:
    known = pl.Series(["7.0", "7.00"])
    assert known_spelling(pl.Series(["7", "7.00"]), known).to_list() == ["7", "7.00"]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (Decimal("7.00"), "7"),
        (Decimal("7E+2"), "700"),
        (Decimal("70"), "70"),
        (b"a7", "a7"),
        (" a 7 ", "a 7"),
        ("007", "007"),
        ("b'357'", "357"),
        ("b'357", "b'357"),
        (1e22, "10000000000000000000000"),
    ],
)
def test_ids_of_any_type_are_strings(value: Any, key: str) -> None:
    assert read_key(value, "who") == key


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "  ", float("nan"), [], {}, True, b"\xff", "a\nb"),
        *(float("inf"), float("-inf"), Decimal("Infinity"), b"NULL", "\\N"),
    ],
)
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="who "):
        read_key(value, "who")


@pytest.mark.parametrize(
    ("taken", "known", "said"),
    [
        (
            ["1", "2", "3", "x8", "x9"],
            ["1", "2", "3"],
            r"shop: 40.0 % of the interactions (2 of 5) are of unknown items: such as 'x8', 'x9', "
            r"where the items are such as '1', '2'",
        ),
        (["1", "2", "3"], ["1", "2", "3"], "shop: 0.0 % of the interactions (0 of 3) are of unkn"),
    ],
)
def test_the_share_of_unknown_items_is_said_with_keys_of_both_sides(
    shop: Shop, caplog: pytest.LogCaptureFixture, taken: list[str], known: list[str], said: str
) -> None:
    caplog.set_level(logging.INFO)
    shop.write("p.csv", products(*known))
    rows = "".join(f"a,{key},{place}\n" for place, key in enumerate(taken))
    shop.read_clicks(f"who,what,when\n{rows}", items="p.csv", **PLAIN)
    assert said in caplog.text


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_without_a_file_of_items_these_are_those_that_occur(shop: Shop, suffix: str) -> None:
    rows = [("a", "p7", 3), ("a", "p2", 1), ("a", "p9", 2)]
    names = ("who", "what", "when")
    content = "who,what,when\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
    if suffix == "jsonl":
        content = "".join(f"{json.dumps(dict(zip(names, row, strict=True)))}\n" for row in rows)
    shop.write(f"b.{suffix}", content)
    prepared = shop.read(f"b.{suffix}", items=None)
    assert sequences(prepared) == {"a": ["p2", "p9", "p7"]}
    assert prepared.item_keys == ["p2", "p7", "p9"]
    assert prepared.item_texts == ["", "", ""]
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [[], [], []]


def test_without_a_file_of_items_numbers_written_both_ways_are_one(shop: Shop) -> None:
    rows = "who,what,when\na,7,1\na,7.0,2\na,8.0,3\n"
    assert shop.read_clicks(rows, items=None) == {"a": ["7", "7", "8"]}
