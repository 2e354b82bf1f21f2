from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra.utils import instantiate

from missrec.data.sources.lines import Rejects
from shop import BY_TIME, CLICKS, PRODUCTS, Shop, sequences

NO_TIME = "is neither a number nor an ISO date; time_format takes others"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_catalogue_is_all_products_with_texts_and_addresses(shop: Shop) -> None:
    prepared = shop.read()
    assert prepared.item_keys == ["1", "2", "3", "4"]
    assert prepared.item_texts == ["Pen. blue.", "Ink.", "Pad. A5.", "Unsold."]
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [["http://1"], [], ["http://3a", "http://3b"], []]


def rows_of(clicks: str) -> list[dict[str, Any]]:
    header, *lines = (line.split(",") for line in clicks.splitlines())
    return [
        dict(zip(header, [who, int(what), int(when)], strict=True)) for who, what, when in lines
    ]


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.parquet"]
)
def test_every_format_says_the_same(shop: Shop, name: str) -> None:
    rows = rows_of(CLICKS)
    if name.endswith(".parquet"):
        pl.DataFrame(rows).write_parquet(shop.folder / name)
    else:
        lines = {
            "csv": CLICKS,
            "tsv": CLICKS.replace(",", "\t"),
            "jsonl": "".join(f"{json.dumps(row)}\n" for row in rows),
        }[name.split(".")[1]].encode()
        shop.write(name, gzip.compress(lines) if name.endswith(".gz") else lines)
    prepared = shop.read(name)
    assert sequences(prepared) == BY_TIME
    assert prepared.times is not None
    assert prepared.times.tolist() == [1, 2, 3, 1, 2, 2]


def test_csv_may_have_a_byte_order_mark_quotes_blank_lines_and_another_delimiter(
    shop: Shop,
) -> None:
    rows = ['\ufeff"who";what;when;note', '"an;n";1;3;"two\r\nlines"', "", '"an;n";2;1;x']
    shop.write("b.csv", "".join(f"{row}\r\n" for row in [*rows, '"an;n";3;2;']))
    assert sequences(shop.read("b.csv", delimiter=";")) == {"an;n": ["2", "3", "1"]}


@pytest.mark.parametrize(
    ("times", "microseconds"),
    [
        (["2024-01-03", "2024-01-01", "2024-01-02"], 86_400_000_000),
        (["2024-01-01T02:00:00Z", "2024-01-01 01:00+01:00", "2024-01-01T01:00"], 3_600_000_000),
        (["2024-01-01T00:00:00.000002", "2024-01-01", "2024-01-01T00:00:00.000001"], 1),
    ],
)
def test_iso_dates_are_times(shop: Shop, times: Sequence[str], microseconds: int) -> None:
    shop.write(
        "b.csv", "who,what,when\n" + "".join(f"a,{i + 1},{t}\n" for i, t in enumerate(times))
    )
    prepared = shop.read("b.csv")
    assert sequences(prepared) == {"a": ["2", "3", "1"]}
    assert prepared.times is not None
    first = 1_704_067_200_000_000  # 2024-01-01
    assert prepared.times.tolist() == [first + microseconds * step for step in range(3)]


@pytest.mark.parametrize("kind", [datetime, date])
def test_dates_of_parquet_are_times(shop: Shop, kind: type) -> None:
    days = [kind(2024, 1, day) for day in (3, 1, 2)]
    table = pl.DataFrame({"who": ["a"] * 3, "what": [1, 2, 3], "when": days})
    table.write_parquet(shop.folder / "b.parquet")
    assert sequences(shop.read("b.parquet")) == {"a": ["2", "3", "1"]}


def test_fractions_of_a_second_count_where_scaled(shop: Shop) -> None:
    shop.write("b.csv", "who,what,when\na,1,0.75\na,2,0.25\na,3,0.5\n")
    prepared = shop.read("b.csv", time_scale=1000)
    assert prepared.times is not None
    assert prepared.times.tolist() == [250, 500, 750]
    assert sequences(prepared) == {"a": ["2", "3", "1"]}


def test_order_column_orders_without_being_a_time(shop: Shop) -> None:
    prepared = shop.read(time=None, order="when")
    assert sequences(prepared) == BY_TIME
    assert prepared.times is None


def test_without_time_and_order_the_file_orders(shop: Shop) -> None:
    prepared = shop.read(time=None)
    assert sequences(prepared) == {"ann": ["1", "2", "3"], "bob": ["1", "1", "2"]}
    assert prepared.times is None


def test_time_and_order_together_are_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r"time \('when'\) and order \('when'\) are both given"):
        shop.read(order="when")


def test_ids_of_any_type_are_one_id(shop: Shop) -> None:
    rows = [{"who": 7, "what": 1.0, "when": 1}, {"who": "7", "what": "2", "when": 2}]
    rows += [{"who": 7.0, "what": 3, "when": 3}]
    shop.write("b.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert sequences(shop.read("b.jsonl")) == {"7": ["1", "2", "3"]}


def test_bad_rows_are_listed_and_the_rest_is_used(shop: Shop) -> None:
    bad = [
        ("ann,1", "has 2 fields, the header has 3"),
        (",1,4", "who is missing"),
        ("ann,,4", "what is missing"),
        ("ann,1,", "when is missing"),
        (
            "ann,1,later",
            "when 'later' is neither a number nor an ISO date; time_format takes others",
        ),
        ("ann,1,nan", "when is missing"),
        ("ann,1,2024-01-01", "when '2024-01-01' is a date, the first one is a number"),
        ("ann,1,1e30", "when '1e30' is too large"),
        ("a\x07nn,1,4", "who holds a control character"),
    ]
    shop.write("clicks.csv", CLICKS + "".join(f"{line}\n" for line, _ in bad))
    prepared = shop.read(max_share=0.9)
    assert sequences(prepared) == BY_TIME
    first = len(CLICKS.splitlines()) + 1
    assert shop.rejects() == [
        ("clicks.csv", first + place, reason, line) for place, (line, reason) in enumerate(bad)
    ]
    assert prepared.settings["rejected_rows"] == len(bad)
    assert prepared.steps[0].num_interactions == 6 + len(bad)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"who": "a", "wh', "is no JSON"),
        ("[1, 2]", "is no JSON object"),
        ('{"who": "a", "when": 1}', "what is missing"),
        ('{"who": ["a"], "what": 1, "when": 1}', "is no id"),
        ('{"who": true, "what": 1, "when": 1}', "is no id"),
        ('{"who": "a", "what": 1, "when": true}', "neither a number nor an ISO date"),
        ('{"who": "\\ud83d", "what": 1, "when": 1}', "holds a control character"),
    ],
)
def test_bad_json_lines_are_listed(shop: Shop, line: str, reason: str) -> None:
    rows = "".join(f"{json.dumps(row)}\n" for row in rows_of(CLICKS))
    shop.write("b.jsonl", f"{line}\n{rows}")
    assert sequences(shop.read("b.jsonl", max_share=0.5)) == BY_TIME
    ((_, number, said, start),) = shop.rejects()
    assert number == 1
    assert reason in said
    assert start.startswith(line[:10])


def test_missing_values_of_parquet_are_listed(shop: Shop) -> None:
    rows = [*rows_of(CLICKS), {"who": None, "what": 1, "when": 1}]
    pl.DataFrame(rows).write_parquet(shop.folder / "b.parquet")
    assert sequences(shop.read("b.parquet", max_share=0.5)) == BY_TIME
    assert shop.rejects()[0][:3] == ("b.parquet", 7, "who is missing")


def test_too_many_bad_rows_stop_and_stay_listed(shop: Shop) -> None:
    shop.write("clicks.csv", f"{CLICKS}ann,1\n")
    with pytest.raises(ValueError, match=r"clicks.csv: 1 of 7 rows cannot be used, at most 10.00%"):
        shop.read(max_share=0.1)
    assert len(shop.rejects()) == 1


def test_items_of_the_same_id_are_the_first(shop: Shop) -> None:
    again = {**PRODUCTS[0], "name": "Another"}
    shop.write("products.jsonl", "".join(f"{json.dumps(row)}\n" for row in [*PRODUCTS, again]))
    prepared = shop.read()
    assert prepared.item_keys == ["1", "2", "3", "4"]
    assert prepared.item_texts[0] == "Pen. blue."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"has no column 'who', it has: none"),
        ("a,b,c\n1,2,3\n", r"has no column 'who', it has: a, b, c; name its columns"),
    ],
)
def test_csv_that_is_no_table_is_refused(shop: Shop, content: str, said: str) -> None:
    shop.write("b.csv", content)
    with pytest.raises(ValueError, match=rf"b\.csv.*{said}"):
        shop.read("b.csv")


def test_damaged_parquet_is_refused(shop: Shop) -> None:
    shop.write("b.parquet", b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"b.parquet is no whole Parquet file"):
        shop.read("b.parquet")


def test_cut_packed_file_is_refused(shop: Shop) -> None:
    shop.write("b.csv.gz", gzip.compress(CLICKS.encode())[:-4])
    with pytest.raises(ValueError, match=r"b.csv.gz is damaged after line \d+"):
        shop.read("b.csv.gz")


def test_other_files_are_refused_by_their_suffix(shop: Shop) -> None:
    shop.write("b.xlsx", b"")
    with pytest.raises(ValueError, match=r"b.xlsx: cannot read .xlsx, expected .csv"):
        shop.read("b.xlsx")
    with pytest.raises(FileNotFoundError, match=r"nowhere.csv is missing"):
        shop.read("nowhere.csv")


def test_a_copy_of_the_settings_from_before_is_read_as_before(shop: Shop) -> None:
    of_module = "missrec.data.sources.own."
    interactions = instantiate(
        {
            "_target_": f"{of_module}OwnInteractions",
            "path": str(shop.folder / "clicks.csv"),
            "user": "who",
            "item": "what",
            "time": "when",
            "order": None,
            "time_scale": 1,
            "delimiter": ",",
        }
    )
    path = str(shop.folder / "products.jsonl")
    columns = {"item": "sku", "texts": ["name"], "images": ["photo"], "delimiter": ","}
    items = instantiate({"_target_": f"{of_module}OwnItems", "path": path, **columns})
    rejects = Rejects(path=str(shop.folder / "rejects.csv"), max_share=0)
    assert len(interactions.read(rejects).timeline.events) == 6
    assert len(items.read(rejects)[0]) == 4


def test_text_column_that_no_product_has_is_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r"products.jsonl: no row has 'titel'"):
        shop.read(of_items={"texts": ["titel"]})
