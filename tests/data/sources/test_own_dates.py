"""Dates are read in the ways tools write them, with their zones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from missrec.data.sources.clock import Clock, Exact
from shop import FIRST, Shop, clicks


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


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
        ("2019-10-01 00:16:40 EST", 1000 + 5 * 3600),
        ("2019-10-01 00:16:40 EDT", 1000 + 4 * 3600),
        ("2019-10-01 00:16:40 PST", 1000 + 8 * 3600),
        ("2019-10-01 00:16:40 (PDT)", 1000 + 7 * 3600),
        ("2019-10-01 00:16:40 CDT", 1000 + 5 * 3600),
        ("2019-10-01 00:16:40 CET", 1000 - 2 * 3600),  # as the tz database has it: local time
        ("2019-10-01 00:16:40 CEST", 1000 - 2 * 3600),
        ("2019-10-01 00:16:40 EEST", 1000 - 3 * 3600),
        ("2019-10-01 00:16:40 WEST", 1000 - 3600),
        ("2019-10-01 00:16:40 GMT+2", 1000 - 2 * 3600),
        ("2019-10-01 00:16:40 UTC-10", 1000 + 10 * 3600),
        ("2019-10-01 00:16:40UTC+5:45", 1000 - 5.75 * 3600),
        ("2019-10-01 00:16:40 Etc/GMT-2", 1000 - 2 * 3600),  # which counts to the west
        ("2019-10-01 00:16:40 +02", 1000 - 2 * 3600),
        ("2019-10-01 00:16:40 GMT+0200 (Central European Summer Time)", 1000 - 2 * 3600),
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


def test_dates_of_one_column_are_as_precise_as_each_is(shop: Shop) -> None:
    times = ["2019-10-01T00:00:00.5Z", "2019-10-01", "2019-10-01 00:00 +00", "2019-10-01 00:00:00"]
    assert shop.read_clicks(clicks(*times)) == {"a": ["2", "3", "4", "1"]}


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
        ("%Y%m%d", "20101201.0", datetime(2010, 12, 1, tzinfo=UTC)),
        ("%Y%m%d%H%M", 201012010826.0, datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        (
            "%Y-%m-%d %H:%M:%S IST",
            "2010-12-01 08:26:00 IST",
            datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        ),
        ("%Y %H.%M", "2010 08.00", datetime(2010, 1, 1, 8, tzinfo=UTC)),
        (
            "%a %b %d %Y %H:%M:%S",
            "Wed Dec 01 2010 08:26:00 GMT-0800 (Pacific Standard Time)",
            datetime(2010, 12, 1, 16, 26, tzinfo=UTC),
        ),
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
        ({"time_format": "%d.%m.%Y %Z"}, "1.12.2010 IST", "there is no zone 'IST'"),
        ({"time_format": "%Y%m%d"}, "20191001.5", "no date in the format '%Y%m%d'"),
        ({}, "2019-10-01 00:16:40 GMT+25", "neither a number nor an ISO date"),
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
