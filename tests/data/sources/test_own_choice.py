"""Which interactions are kept, and settings that can be none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.filtering import InteractionFilter
from shop import BY_TIME, CLICKS, Shop, sequences


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"event": "kind", "keep_events": ["purchase"]}, ["1", "3", "4"]),
        ({"event": "kind", "keep_events": "purchase"}, ["1", "3", "4"]),
        ({"event": "kind", "keep_events": ["view", "purchase"]}, ["1", "2", "3", "4"]),
        ({"rating": "stars", "min_rating": 3.5}, ["2", "3", "4"]),
        ({"event": "kind"}, ["1", "2", "3", "4", "1"]),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_interactions_are_kept_by_type_and_rating(
    shop: Shop, changes: dict[str, Any], kept: list[str], suffix: str
) -> None:
    names = ["who", "what", "when", "kind", "stars"]
    rows = [
        ("a", 1, 1, "purchase", 3.0),
        ("a", 2, 2, "view", 3.5),
        ("a", 3, 3, "purchase", 4),
        ("a", 4, 4, "purchase", 5),
        ("a", 1, 5, "other", None),  # without a rating
    ]
    lines = (",".join("" if cell is None else str(cell) for cell in row) for row in rows)
    content = "\n".join([",".join(names), *lines])
    if suffix == "jsonl":
        content = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    assert shop.read_clicks(content, f"b.{suffix}", **changes) == {"a": kept}


def test_what_is_to_be_kept_has_to_be_there(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    content = "who,what,when,kind\na,1,1,view\na,2,2,cart\na,3,3,view\n"
    with pytest.raises(ValueError, match=r"no row has kind 'purchse', there are: 'cart', 'view'"):
        shop.read_clicks(content, event="kind", keep_events=["purchse"])
    with pytest.raises(ValueError, match=r"keep_events \(view\) needs event, the column"):
        shop.read(keep_events=["view"])
    with pytest.raises(ValueError, match=r"min_rating \(4\) needs rating, the column"):
        shop.read(min_rating=4)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("kept", [["view", "purchse"], ["purchse", "view", "veiw"]])
def test_a_type_that_no_row_has_is_said(
    shop: Shop, caplog: pytest.LogCaptureFixture, kept: list[str]
) -> None:
    content = "who,what,when,kind\na,1,1,view\na,2,2,cart\na,3,3,view\na,2,4,view\n"
    found = shop.read_clicks(content, event="kind", keep_events=kept)
    assert found == {"a": ["1", "3", "2"]}
    missing = "'purchse'" if len(kept) == 2 else "'purchse' or 'veiw'"
    assert f"no row has kind {missing}, there are: 'cart', 'view'" in caplog.text


@pytest.mark.parametrize("named", [{"event": "foo"}, {"rating": "foo"}])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_column_to_keep_by_has_to_be_there_also_where_nothing_is_kept_by_it(
    shop: Shop, named: dict[str, str], suffix: str
) -> None:
    content = CLICKS
    if suffix == "jsonl":
        content = "".join(f'{{"who": "a", "what": {i}, "when": {i}}}\n' for i in (1, 2, 3))
    with pytest.raises(ValueError, match=r"has no column 'foo', it has|no row has 'foo'"):
        shop.read_clicks(content, f"b.{suffix}", **named)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["true", "false", "true", "true"], [True]),
        (["True", "False", "True", "True"], [True]),
        (["True", "False", "True", "True"], "true"),
        (["1.0", "2.0", "1.0", "1"], [1]),
        (["1", "2", "1", "1"], [1.0]),
        ([True, False, True, True], ["true"]),
        ([1.0, 2.0, 1.0, 1.0], ["1"]),
        ([1, 2, 1, 1], "1"),
    ],
)
def test_types_are_compared_as_keys_are(shop: Shop, cells: list[Any], kept: Any) -> None:
    table = {"who": ["a"] * 4, "what": [1, 2, 3, 4], "when": [1, 2, 3, 4], "kind": cells}
    pl.DataFrame(table).write_parquet(shop.folder / "b.parquet")
    found = sequences(shop.read("b.parquet", event="kind", keep_events=kept))
    assert found == {"a": ["1", "3", "4"]}


def test_columns_may_be_named_by_numbers(shop: Shop) -> None:
    content = CLICKS.replace("who,what,when", "0,1,2")
    assert shop.read_clicks(content, user=0, item=1, time=2) == BY_TIME
    shop.write("p.csv", "10,11\n1,Pen\n2,Ink\n3,Pad\n")
    prepared = shop.read(items="p.csv", of_items={"item": 10, "texts": 11, "images": None})
    assert prepared.item_texts == ["Pen.", "Ink.", "Pad."]


def test_no_texts_and_no_images_are_none(shop: Shop) -> None:
    prepared = shop.read(of_items={"texts": None, "images": None})
    assert prepared.item_texts == [""] * 4
    assert sequences(prepared) == BY_TIME


def test_columns_without_a_header_may_be_named_by_numbers_and_one_alone(shop: Shop) -> None:
    rows = CLICKS.partition("\n")[2]
    assert shop.read_clicks(rows, user="u", item="i", time=3, columns=["u", "i", 3]) == BY_TIME
    with pytest.raises(ValueError, match="has no column 'who', it has: user"):
        shop.read_clicks(rows, columns="user")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time": ["when"]}, r"time \(\['when'\]\) must be a text"),
        ({"user": None}, r"user \(None\) must be a text"),
        ({"item": {"a": 1}}, r"item \({'a': 1}\) must be a text"),
        ({"user": True}, r"user \(True\) must be a text; in quotes where it is one"),
        ({"columns": ["who", None]}, r"columns \(None\) must be a text"),
        ({"time_scale": "abc"}, r"time_scale \('abc'\) must be a number"),
        ({"time_scale": None}, r"time_scale \(None\) must be a number"),
        ({"time_scale": True}, r"time_scale \(True\) must be a number"),
        ({"time_scale": float("nan")}, r"time_scale \(nan\) must be a number above 0"),
        ({"encoding": 99}, r"encoding \('99'\) is none of a text"),
        ({"delimiter": ["a"]}, r"delimiter \(\['a'\]\) must be a text"),
        ({"quoting": 1}, r"quoting \('1'\) must be one of standard, none"),
        ({"escape": 12}, r"escape \('12'\) must be one character"),
        ({"time_format": 2019}, r"3 of 3 rows|6 of 6 rows"),
        ({"event": "kind", "keep_events": [None]}, r"keep_events \(None\) must be a text"),
        ({"of_items": {"texts": [["name"]]}}, r"texts \(\['name'\]\) must be a text"),
        ({"of_items": {"item": None}}, r"item \(None\) must be a text"),
    ],
)
def test_settings_of_other_types_are_refused_in_words(
    shop: Shop, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        shop.read(**changes)


@pytest.mark.parametrize("changes", [{"encoding": 1252}, {"keep_events": None}])
def test_settings_that_yaml_takes_for_numbers_or_nothing_are_what_they_say(
    shop: Shop, changes: dict[str, Any]
) -> None:
    assert shop.read_clicks(CLICKS, **changes) == BY_TIME


def test_a_digit_may_divide(shop: Shop) -> None:
    shop.write("b.csv", "who1what1when\na1712\na1813\na1914\n")
    found = shop.read("b.csv", items=None, delimiter=1)
    assert sequences(found) == {"a": ["7", "8", "9"]}


@pytest.mark.parametrize("name", ["min_user_interactions", "min_item_interactions"])
@pytest.mark.parametrize("value", [None, "3", True])
def test_a_minimum_is_a_number(name: str, value: Any) -> None:
    minima: dict[str, Any] = {"min_user_interactions": 3, "min_item_interactions": 1, name: value}
    with pytest.raises(ValueError, match=rf"{name} \(.*\) must be a number"):
        InteractionFilter(keep_repeats=True, keep_unseen_items=True, **minima)
