"""The order of own interactions is that of their exact times, whatever the file writes them as."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.clock import Clock, Exact
from missrec.data.sources.units import MixedUnitsError
from shop import Shop, sequences

FIRST = 1_569_888_000  # 2019-10-01, in seconds


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def clicks(*times: object) -> str:
    """One user, who takes 1, 2, 3 at these times, with a comma for a delimiter."""
    return "who,what,when\n" + "".join(
        f"a,{item},{time}\n" for item, time in enumerate(times, start=1)
    )


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2019-10-01 00:16:40 UTC", 1000),
        ("2019-10-01 00:16:40 GMT", 1000),
        ("2019-10-01 00:16:40 Z", 1000),
        ("2019-10-01T00:16:40Z", 1000),
        ("2019-10-01 00:16:40 +0100", 1000 - 3600),
        ("2019-10-01 00:16:40 GMT+01:00", 1000 - 3600),
        ("2019-10-01 00:16:40 Europe/Berlin", 1000 - 7200),
        ("2019-10-01 00:16:40 America/New_York", 1000 + 4 * 3600),
        ("2019-10-01 00:16:40.5 (UTC)", 1000.5),
        ("2019-10-01", 0),
        ("2019-10-01 00:16:40 +0000 UTC", 1000),
        ("2019-10-01 00:16:40 -0700 PDT", 1000 + 7 * 3600),
        ("2019-10-01 00:16:40.5 +0530 IST", 1000.5 - 5.5 * 3600),
        ("2019-10-01T00:16:40+02:00[Europe/Berlin]", 1000 - 7200),
        ("2019-10-01T00:16:40.25Z[UTC]", 1000.25),
        ("2019-10-01T00:16:40-03:00[America/Argentina/Buenos_Aires]", 1000 + 3 * 3600),
        ("1 Oct 2019 00:16:40 GMT", 1000),
        ("Tue, 01 Oct 2019 00:16:40 +0000", 1000),
        ("Tue, 1 Oct 2019 00:16 -0700 (PDT)", 960 + 7 * 3600),
        ("01 Oct 2019 00:16:40 EST", 1000 + 5 * 3600),
        ("1 Oct 2019 00:16:40", 1000),
    ],
)
def test_dates_may_name_a_zone(text: str, seconds: float) -> None:
    clock = Clock("when", scale=1, time_format=None)
    assert clock.read(text) == (FIRST * 10**6 + round(seconds * 10**6), "")


def test_dates_are_exact_below_the_microsecond() -> None:
    clock = Clock("when", scale=1, time_format=None)
    assert clock.read("2019-10-01 00:00:00.123456789 UTC") == Exact(FIRST * 10**6 + 123_456, "789")


@pytest.mark.parametrize(
    ("time_format", "text", "moment"),
    [
        ("%m/%d/%Y %H:%M", "12/1/2010 8:26", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("%m/%d/%Y %H:%M", "12/1/2010 8:26 UTC", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("%d.%m.%Y", "1.12.2010", datetime(2010, 12, 1, tzinfo=UTC)),
        ("%Y%m%d", 20101201, datetime(2010, 12, 1, tzinfo=UTC)),
        ("%m/%d/%Y %I:%M %p", "12/1/2010 8:26 PM", datetime(2010, 12, 1, 20, 26, tzinfo=UTC)),
        (
            "%Y-%m-%d %H:%M %Z",
            "2010-12-01 08:26 CET",
            datetime(2010, 12, 1, 7, 26, tzinfo=UTC),
        ),
        (
            "%d.%m.%Y %H:%M%Z",
            "1.12.2010 08:26 America/New_York",
            datetime(2010, 12, 1, 13, 26, tzinfo=UTC),
        ),
        ("%d.%m.%Y %H:%M %Z", "1.12.2010 08:26 utc", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("%d.%m.%Y %H:%M %Z", "1.12.2010 08:26", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        (
            "%Y-%m-%d %H:%M:%S %z",
            "2010-12-01 08:26:00 +0200",
            datetime(2010, 12, 1, 6, 26, tzinfo=UTC),
        ),
    ],
)
def test_dates_of_a_named_format_are_times(time_format: str, text: Any, moment: datetime) -> None:
    clock = Clock("when", scale=1, time_format=time_format)
    assert clock.read(text) == (moment.timestamp() * 10**6, "")


@pytest.mark.parametrize(
    ("changes", "text", "said"),
    [
        ({}, "2019-10-01 00:16:40 PST8", "neither a number nor an ISO date"),
        ({}, "2019-10-01 00:16:40 XYZ", "there is no zone 'XYZ'"),
        ({}, "1 Oct 2019 00:16:40 XYZ", "neither a number nor an ISO date"),
        ({}, "31 Feb 2019 00:16:40 GMT", "neither a number nor an ISO date"),
        ({}, "2019-10-01 00:16:40+02:00[Europe/Berlin", "neither a number nor an ISO date"),
        ({"time_format": "%d.%m.%Y %Z"}, "1.12.2010 CEST", "there is no zone 'CEST'"),
        ({}, "12/1/2010 8:26", "time_format takes others"),
        ({}, "12/1/2010 8:26 AM", "time_format takes others"),
        ({"time_format": "%d/%m/%Y"}, "12/13/2010", "no date in the format '%d/%m/%Y'"),
    ],
)
def test_dates_that_say_no_time_are_rejected_with_the_reason_on_the_terminal(
    shop: Shop,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    text: str,
    said: str,
) -> None:
    with pytest.raises(ValueError, match=r"3 of 3 rows cannot be used, .*\(b.csv, line 2: when"):
        shop.read_clicks(clicks(text, text, text), **changes)
    assert caplog.text.count(said) == 3
    assert len(shop.rejects()) == 3


@pytest.mark.parametrize("time_format", ["%Q", "%"])
def test_a_format_that_there_is_not_is_refused(shop: Shop, time_format: str) -> None:
    with pytest.raises(ValueError, match=rf"time_format \('{time_format}'\): "):
        shop.read(time_format=time_format)


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


LATER = [(FIRST + day * 86_400) for day in range(6)]


@pytest.mark.parametrize(
    ("window", "times"),
    [
        ({"since": "2019-10-02", "until": "2019-10-05"}, LATER),
        ({"since": LATER[1], "until": LATER[4]}, LATER),
        ({"since": LATER[1], "until": LATER[4]}, [time * 1000 for time in LATER]),
        ({"since": "2019-10-02", "until": "2019-10-05"}, [f"{time}.0" for time in LATER]),
        (
            {"since": "2019-10-01 23:59:59.5", "until": "2019-10-05"},
            [datetime.fromtimestamp(time, UTC).isoformat() for time in LATER],
        ),
        ({"since": 0.15, "until": 0.5}, [f"0.{place}" for place in range(1, 7)]),
        ({"since": -4.5, "until": "-1.99"}, [-5, -4, -3, -2, -1, 0]),
        ({"since": LATER[1], "until": LATER[4], "time_scale": 1000}, LATER),
        ({"since": "2019-10-02", "until": "2019-10-05", "time_scale": 1000}, LATER),
        (
            {"since": "2019-10-02", "until": "5/10/2019", "time_format": "%d/%m/%Y"},
            [f"{day}/10/2019" for day in range(1, 7)],
        ),
    ],
)
def test_a_window_keeps_what_is_in_it(shop: Shop, window: dict[str, Any], times: list[Any]) -> None:
    rows = "".join(f"a,{1 + place % 4},{time}\n" for place, time in enumerate(times))
    shop.write("b.csv", f"who,what,when\n{rows}")
    prepared = shop.read("b.csv", **window)
    assert sequences(prepared) == {"a": ["2", "3", "4"]}
    steps = {step.name: step.num_interactions for step in prepared.steps}
    assert (steps["rows read"], steps["readable"], steps["chosen"]) == (6, 6, 3)


@pytest.mark.parametrize(
    ("changes", "times", "said"),
    [
        ({"since": "2019-10-02"}, [1, 2, 3], "the times are numbers of an unknown unit"),
        ({"since": "2029-10-02", "until": "2030-01-01"}, LATER[:3], "no interaction is left"),
        ({"since": 7}, ["2019-10-01"] * 3, "is a number, the times are dates"),
        ({"until": "soon"}, [1, 2, 3], "until 'soon' is neither"),
        ({"since": 1, "time": None}, [1, 2, 3], "since and until need time"),
    ],
)
def test_a_window_that_cannot_be_is_refused(
    shop: Shop, changes: dict[str, Any], times: list[Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        shop.read_clicks(clicks(*times), **changes)


@pytest.mark.parametrize("bound", [{"until": "2019-10-03"}, {"since": "2019-10-02"}])
@pytest.mark.parametrize(
    "digits",
    ["2019100{}0016", "2019100{}00", "19100{}001640", "19100{}0016"],
    ids=["YYYYMMDDHHMM", "YYYYMMDDHH", "YYMMDDHHMMSS", "YYMMDDHHMM"],
)
@pytest.mark.parametrize("time_scale", [1, 1000])
def test_dates_written_as_digits_have_no_window_of_dates(
    shop: Shop, bound: dict[str, str], digits: str, time_scale: int
) -> None:
    times = [digits.format(day) for day in range(1, 7)]
    with pytest.raises(
        ValueError, match=r"20\d\d-.* is a date, and the times are no numbers since"
    ):
        shop.read_clicks(clicks(*times), **bound, time_scale=time_scale)


def test_dates_written_as_digits_have_a_window_by_their_format_or_by_digits(shop: Shop) -> None:
    shop.write(
        "b.csv", "who,what,when\n" + "".join(f"a,{i},2019100{i}0016\n" for i in (1, 2, 3, 4))
    )
    by_format = shop.read("b.csv", time_format="%Y%m%d%H%M", until="2019-10-04")
    assert sequences(by_format) == {"a": ["1", "2", "3"]}
    assert sequences(shop.read("b.csv", since=201910020000)) == {"a": ["2", "3", "4"]}


@pytest.mark.parametrize(
    ("window", "times", "said"),
    [
        ({"since": "2010-01-01"}, LATER, "as seconds, from 2019-10-01 to 2019-10-06"),
        ({"until": "9999-01-01"}, [t * 1000 for t in LATER], "as milliseconds, from 2019-10-01 to"),
        ({"until": "2030-01-01"}, ["2019-10-01"] * 4, "run from 2019-10-01 to 2019-10-01"),
        ({"since": 0}, [1, 2, 3], "run from 1 to 3"),
    ],
)
def test_a_bound_outside_of_all_times_is_said(
    shop: Shop,
    caplog: pytest.LogCaptureFixture,
    window: dict[str, Any],
    times: list[Any],
    said: str,
) -> None:
    rows = "".join(f"a,{1 + place % 4},{time}\n" for place, time in enumerate(times))
    assert shop.read_clicks(f"who,what,when\n{rows}", **window)
    assert said in caplog.text
