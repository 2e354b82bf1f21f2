"""A window keeps the interactions in it, and says where it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shop import FIRST, Shop, clicks, sequences


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


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


@pytest.mark.parametrize("scale", [1, 1000, 10**6])
def test_a_window_that_ends_with_the_times_is_not_worth_a_word(
    shop: Shop, caplog: pytest.LogCaptureFixture, scale: int
) -> None:
    times = [(time + 5) * scale for time in LATER]
    rows = "".join(f"a,{1 + place % 4},{time}\n" for place, time in enumerate(times))
    window = {"since": "2019-10-01", "until": "2019-10-07"}
    assert shop.read_clicks(f"who,what,when\n{rows}", **window)
    assert "outside" not in caplog.text


def test_an_order_has_a_window_of_its_own_numbers(shop: Shop) -> None:
    content = clicks(123456789, 123456790, 123456791, 99999999999)
    found = shop.read_clicks(content, time=None, order="when", since=123456790)
    assert found == {"a": ["2", "3", "4"]}
