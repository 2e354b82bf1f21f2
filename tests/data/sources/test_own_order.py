"""The order of own interactions is that of their exact times, whatever the file writes them as."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.units import MixedUnitsError
from shop import FIRST, Shop, clicks, sequences


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    "times",
    [
        ("0.3", "0.0", "0.2"),
        ("-0.1", "-0.3", "-0.2"),
        ("1569888000.75", "1569888000.25", "1569888000.5"),
        ("1569888000.000000003", "1569888000.000000001", "1569888000.000000002"),
        ("1000000000000000003", "1000000000000000001", "1000000000000000002"),
        ("3e-20", "1e-20", "2e-20"),
        ("1.5", "-2", "0"),
        ("0.30", "0.1", "0.2000000000000000000001"),
        ("10", "2", "9.5"),
    ],
)
@pytest.mark.parametrize("column", ["time", "order"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_numbers_are_in_order_however_close_they_are(
    shop: Shop, times: tuple[str, ...], column: str, suffix: str
) -> None:
    named = {"time": None, "order": None, column: "when"}
    content: str | bytes = clicks(*times)
    if suffix == "jsonl":
        rows = [f'{{"who": "a", "what": {i}, "when": {t}}}\n' for i, t in enumerate(times, start=1)]
        content = "".join(rows)
    elif suffix == "parquet":
        table = {"who": ["a"] * 3, "what": [1, 2, 3], "when": times}
        pl.DataFrame(table).write_parquet(shop.folder / "b.parquet")
        content = (shop.folder / "b.parquet").read_bytes()
    assert shop.read_clicks(content, f"b.{suffix}", **named) == {"a": ["2", "3", "1"]}


def test_what_is_stored_is_rounded_and_ties_by_rounding_are_said(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write("b.csv", clicks("2.5", "0.4", "1.6"))
    prepared = shop.read("b.csv")
    assert prepared.times is not None
    assert sequences(prepared) == {"a": ["2", "3", "1"]}
    assert prepared.times.tolist() == [0, 2, 2]
    assert "1 steps from one interaction to the next take less" in caplog.text
    prepared = shop.read("b.csv", time_scale=10)
    assert prepared.times is not None
    assert prepared.times.tolist() == [4, 16, 25]


@pytest.mark.parametrize("times", [("3", "1", "2"), ("0.75", "0.25", "0.5")])
def test_an_order_is_ranked_and_not_scaled(shop: Shop, times: tuple[str, ...]) -> None:
    changes = {"time": None, "order": "when", "time_scale": 10**18}
    assert shop.read_clicks(clicks(*times), **changes) == {"a": ["2", "3", "1"]}


def test_the_same_item_at_times_that_round_to_one_is_taken_twice(shop: Shop) -> None:
    rows = "who,what,when\na,1,0.1\na,1,0.2\na,1,0.1\na,2,0.3\n"
    assert shop.read_clicks(rows) == {"a": ["1", "1", "2"]}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1.5e308", "when '1.5e308' is too large"),
        ("9" * 400, f"when '{'9' * 80}' is too large"),
        ("9223372036854775807000", "when '9223372036854775807000' is too large"),
        ("-1e30", "when '-1e30' is too large"),
        ("1e999999999999", "when '1e999999999999' is too large"),
        ("1e-5000", "when '1e-5000' has more than 1000 digits"),
        ("9" * 5000, f"when '{'9' * 80}' is too large"),
    ],
)
@pytest.mark.parametrize("time_scale", [1, 1000])
def test_numbers_beyond_all_times_are_rejected(
    shop: Shop, value: str, said: str, time_scale: int
) -> None:
    found = shop.read_clicks(clicks(3, 1, 2, value), max_share=0.5, time_scale=time_scale)
    assert found == {"a": ["2", "3", "1"]}
    assert [row[2] for row in shop.rejects()] == [said]


@pytest.mark.parametrize(
    "value", ["Infinity", "-Infinity", "NaN", "true", "[1]", '{"a": 1}', "1e400"]
)
def test_json_that_is_no_time_is_rejected(shop: Shop, value: str) -> None:
    rows = [f'{{"who": "a", "what": {what}, "when": {what}}}\n' for what in (1, 2, 3)]
    rows.append(f'{{"who": "a", "what": 4, "when": {value}}}\n')
    assert shop.read_clicks("".join(rows), "b.jsonl", max_share=0.5) == {"a": ["1", "2", "3"]}
    assert len(shop.rejects()) == 1


@pytest.mark.parametrize(
    "places",
    [
        (99999999999, 123456789, 1234567890),
        (123456789012, 7, 123456789),
        (2**64 - 1, 2**63 + 1, 2**63 + 2),
        (2**64, 2**62, 2**63),
        (10**30, 10**20 - 1, 10**20),
        ("9223372036854775807.5", "9223372036854775806.5", "9223372036854775807"),
        (-(2**63), -(2**64), -(2**63) - 1),
        (-(10**20) + 1, -(10**20) - 1, -(10**20)),
        ("-18446744073709551610", "-18446744073709551610.5", "-18446744073709551610.25"),
        ("1e40", "-1e40", 5),
        ("9" * 900, "8" * 900, "8" * 899 + "9"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_order_is_exact_for_numbers_of_any_size(
    shop: Shop, places: tuple[Any, ...], suffix: str
) -> None:
    content = clicks(*places)
    if suffix == "jsonl":
        rows = enumerate(places, start=1)
        content = "".join(f'{{"who": "a", "what": {i}, "when": {p}}}\n' for i, p in rows)
    found = shop.read_clicks(content, f"b.{suffix}", time=None, order="when")
    assert found == {"a": ["2", "3", "1"]}


def test_an_order_of_unsigned_numbers_of_parquet_is_exact(shop: Shop) -> None:
    places = pl.Series([2**64 - 1, 2**63, 2**64 - 2], dtype=pl.UInt64)
    table = pl.DataFrame({"who": ["a"] * 3, "what": [1, 2, 3], "when": places})
    table.write_parquet(shop.folder / "b.parquet")
    assert sequences(shop.read("b.parquet", time=None, order="when")) == {"a": ["2", "3", "1"]}


def test_an_order_of_too_many_digits_is_rejected(shop: Shop) -> None:
    content = clicks(3, 1, 2, f"1.{'1' * 2000}", "1e5000", "1e-5000")
    found = shop.read_clicks(content, time=None, order="when", max_share=0.5)
    assert found == {"a": ["2", "3", "1"]}
    assert len(shop.rejects()) == 3


def test_dates_below_the_microsecond_are_said_to_be_stored_in_microseconds(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    times = [f"2019-10-01 00:00:00.00000000{place}" for place in (3, 1, 2)]
    assert shop.read_clicks(clicks(*times)) == {"a": ["2", "3", "1"]}
    assert "of dates microseconds are stored, of numbers a larger time_scale" in caplog.text


MIXED = {
    "seconds and milliseconds": (FIRST + 2, (FIRST + 1) * 1000 - 1000, (FIRST + 1) * 1000),
    "seconds and microseconds": (FIRST + 2, FIRST * 10**6, (FIRST + 1) * 10**6),
    "milliseconds and nanoseconds": ((FIRST + 2) * 1000, FIRST * 10**9, (FIRST + 1) * 10**9),
    "with a fraction": (f"{FIRST + 2}.25", FIRST * 1000, (FIRST + 2) * 1000 + 249),
}


@pytest.mark.parametrize("times", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("time_scale", [1, 1000])
def test_times_of_several_units_stop_unless_told(
    shop: Shop, times: tuple[Any, ...], time_scale: int
) -> None:
    if times[1] * time_scale > 10**18:
        time_scale = 1
    with pytest.raises(MixedUnitsError, match=r"when has times of several units .* 1 in "):
        shop.read_clicks(clicks(*times), time_scale=time_scale)
    by_size = shop.read_clicks(clicks(*times), mixed_units="by_size", time_scale=time_scale)
    assert by_size == {"a": ["2", "3", "1"]}
    as_is = shop.read_clicks(clicks(*times), mixed_units="as_is", time_scale=time_scale)
    assert as_is == {"a": ["1", "2", "3"]}


def test_mixed_units_are_stored_in_the_finest(shop: Shop) -> None:
    shop.write("b.csv", clicks(*MIXED["with a fraction"]))
    prepared = shop.read("b.csv", mixed_units="by_size")
    assert prepared.times is not None
    milliseconds = [0, 2249, 2250]
    assert prepared.times.tolist() == [FIRST * 1000 + one for one in milliseconds]


@pytest.mark.parametrize(
    "times",
    [(3, 1, 2), (FIRST, 0, 5), (20191003, 20191001, 20191002), (10**13 + 2, 10**13, 10**13 + 1)],
)
def test_numbers_of_one_size_or_none_are_one_unit(shop: Shop, times: tuple[int, ...]) -> None:
    assert shop.read_clicks(clicks(*times)) == {"a": ["2", "3", "1"]}


NANOSECONDS = [FIRST * 10**9 + one for one in (3, 1, 2)]


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([Decimal("3.00"), Decimal("1.25"), Decimal("1.50")]),
        pl.Series([3.5, 1.25, 1.5]),
        pl.Series(NANOSECONDS).cast(pl.Datetime("ns")),
        pl.Series(NANOSECONDS).cast(pl.Datetime("ns", "Europe/Berlin")),
        pl.Series([3, 1, 2]).cast(pl.Datetime("ms")),
        pl.Series([3, 1, 2]).cast(pl.Date),
        pl.Series([3, 1, 2], dtype=pl.UInt8),
        pl.Series([b"3", b"1", b"2"]),
    ],
    ids=lambda times: str(times.dtype),
)
def test_times_of_any_type_of_parquet_are_in_order(shop: Shop, times: pl.Series) -> None:
    table = pl.DataFrame({"who": ["a"] * 3, "what": [1, 2, 3], "when": times})
    table.write_parquet(shop.folder / "b.parquet")
    assert sequences(shop.read("b.parquet")) == {"a": ["2", "3", "1"]}
