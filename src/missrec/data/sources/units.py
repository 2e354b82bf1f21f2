"""Units of times, told by the size of the numbers: seconds are not milliseconds."""

from __future__ import annotations

import logging
from decimal import Decimal

import numpy as np
import polars as pl

from missrec.data.sources.clock import Clock, Exact, exactly
from missrec.data.sources.events import LARGEST_TIME

MIXED = ("refuse", "by_size", "as_is")
_LEAST = {"seconds": 10**8, "milliseconds": 10**11, "microseconds": 10**14, "nanoseconds": 10**17}
"""Unit -> the least number of it that is a time, in 1973; a hundred times as many is none."""

_NAMES = list(_LEAST)
_log = logging.getLogger(__name__)
_SECONDS_A_DAY = 86_400
_DIGITS = 3  # decimals between a unit and the next one


class MixedUnitsError(ValueError):
    """A column of times has several units, by the sizes of its numbers."""


def one_unit(events: pl.DataFrame, *, column: str, scale: float, mixed: str) -> pl.DataFrame:
    """Events whose numbers are all of the finest unit that occurs.

    Args:
        events: with `time`, and perhaps `fraction`, see `Exact`.
        column: of the times, for messages.
        scale: that the numbers were multiplied by.
        mixed: of `MIXED`: refuse several units; take each number for the unit that its size says;
            or take the numbers as they are.

    Raises:
        MixedUnitsError: there are several units, and they are to be refused.
        ValueError: a converted time is too large.
    """
    times = events["time"].to_numpy()
    # In most files all are of one size, and the largest one tells it.
    if mixed == "as_is" or not len(times) or _largest(times) < _LEAST["milliseconds"] * scale:
        return events
    units = _units(times, scale=scale)
    present = [place for place in range(len(_NAMES)) if (units == place).any()]
    if len(present) < 2:
        return events
    if mixed == "refuse":
        said = []
        for place in present:
            chosen = times[units == place]
            example = round(int(chosen[0]) / scale)
            said.append(f"{len(chosen):,} in {_NAMES[place]}, such as {example}")
        raise MixedUnitsError(
            f"{column} has times of several units by their sizes: {'; '.join(said)}"
        )
    for place in present:
        if _largest(times[units == place]) > LARGEST_TIME // 10 ** _digits(place, present[-1]):
            raise ValueError(f"{column} has times too large to be of one unit")
    return _converted(events, units, present[-1])


def in_window(
    events: pl.DataFrame, clock: Clock, *, since: object, until: object, mixed: str
) -> pl.DataFrame:
    """The events since a time, and before another one.

    Args:
        events: of one unit.
        clock: that read them.
        since: a number as in the file, or a date; None for no bound.
        until: likewise.
        mixed: see `one_unit`; unless `as_is`, a number of another unit is converted too.

    Raises:
        ValueError: a bound is no time, or a date where nothing tells the unit of the times.
    """
    if since is None and until is None:
        return events
    times = events["time"].to_numpy()
    unit = _unit(times, scale=clock.scale)
    fraction = pl.col("fraction") if "fraction" in events.columns else pl.lit("")
    for name, value in (("since", since), ("until", until)):
        if value is not None:
            bound = _bound(name, value, clock, unit, mixed=mixed)
            if not times.min() <= bound.whole <= times.max():
                if not clock.has_dates and unit is not None:
                    _check_no_digits(name, value, times, clock)
                _say_outside(f"{name} ({value})", bound.whole, times, clock, unit)
            time, tail = pl.col("time"), pl.lit(bound.fraction)
            is_below = (time < bound.whole) | ((time == bound.whole) & (fraction < tail))
            events = events.filter(~is_below if name == "since" else is_below)
    return events


def _bound(name: str, value: object, clock: Clock, unit: int | None, *, mixed: str) -> Exact:
    """A bound as the clock would have read it in the unit of the times."""
    bound, is_date = clock.bound(name, value)
    if clock.has_dates:
        if not is_date:
            raise ValueError(f"{name} ({value!r}) is a number, the times are dates")
        return bound
    if is_date:
        if unit is None:
            raise ValueError(
                f"{name} ({value!r}) is a date, the times are numbers of an unknown unit"
            )
        microseconds = _NAMES.index("microseconds")
        factor = Decimal(repr(clock.scale)).scaleb(_digits(microseconds, unit))
        return exactly(bound.number, factor)
    place = int(_units(np.array([bound.whole]), scale=clock.scale)[0])
    if mixed == "as_is" or unit is None or not 0 <= place < unit:
        return bound
    return exactly(bound.number, Decimal(10 ** _digits(place, unit)))


def _check_no_digits(name: str, value: object, times: np.ndarray, clock: Clock) -> None:
    """Refuses a date as a bound of times that look like dates written as digits."""
    if clock.bound(name, value)[1] and _are_digits_of_dates(times, scale=clock.scale):
        raise ValueError(
            f"{name} ({value!r}) is a date, and the times are no numbers since 1970 but dates "
            f"written as digits, such as {round(int(times[0]) / clock.scale)}; time_format reads "
            "them, such as %Y%m%d%H%M"
        )


def _say_outside(said: str, bound: int, times: np.ndarray, clock: Clock, unit: int | None) -> None:
    """Says that a bound has all times on one side, and what these were read as.

    Nothing is said of one that is less than a day away: a month has no time at its ends.
    """
    first, last = int(times.min()), int(times.max())
    run = f"run from {first} to {last}"
    if clock.has_dates or unit is not None:
        read_as = f", as {_NAMES[unit]}," if unit is not None and not clock.has_dates else ""
        second = clock.scale * 10 ** (_DIGITS * (unit or 0)) if read_as else 10**6
        if min(abs(first - bound), abs(last - bound)) <= _SECONDS_A_DAY * second:
            return
        run = f"run{read_as} from {_day(first / second)} to {_day(last / second)}"
    _log.warning("%s is outside of the times, which %s", said, run)


def _day(seconds: float) -> str:
    return str(np.datetime64(round(seconds), "s"))[:10]


def _are_digits_of_dates(times: np.ndarray, *, scale: float) -> bool:
    """Whether all numbers are as 201910010016: a year, month, day and parts of its time."""
    numbers = np.rint(times / scale).astype(np.int64)
    for num_parts in (1, 2, 3):  # hours, minutes, seconds
        rest = numbers
        are_dates = np.ones(len(numbers), dtype=bool)
        for first, end in [*[(0, 60)] * (num_parts - 1), (0, 24), (1, 32), (1, 13)]:
            rest, part = np.divmod(rest, 100)
            are_dates &= (first <= part) & (part < end)
        if (are_dates & ((rest < 100) | ((rest >= 1900) & (rest < 2200)))).all():
            return True
    return False


def _units(times: np.ndarray, *, scale: float) -> np.ndarray:
    """(n,) place in `_NAMES` of the unit that each number is of by its size; -1 = of none."""
    sizes = np.abs(times)
    units = np.full(len(times), -1, dtype=np.int8)
    for place, least in enumerate(_LEAST.values()):
        units[(sizes >= least * scale) & (sizes < 100 * least * scale)] = place
    return units


def _unit(times: np.ndarray, *, scale: float) -> int | None:
    """The unit of times that have one; None where their sizes say none."""
    units = _units(times, scale=scale)
    return int(units.max()) if len(units) and units.max() >= 0 else None


def _largest(times: np.ndarray) -> int:
    return int(max(times.max(), -times.min()))


def _digits(place: int, unit: int) -> int:
    return _DIGITS * (unit - place)


def _converted(events: pl.DataFrame, units: np.ndarray, finest: int) -> pl.DataFrame:
    """Times of coarser units times a thousand, as often as it takes; decimals become whole."""
    for place in range(finest):
        digits = _digits(place, finest)
        changed = {"time": pl.col("time") * 10**digits}
        if "fraction" in events.columns:
            fraction = pl.col("fraction")
            changed["time"] += fraction.str.slice(0, digits).str.pad_end(digits, "0").cast(pl.Int64)
            changed["fraction"] = fraction.str.slice(digits)
        is_here = pl.lit(pl.Series(units == place))
        events = events.with_columns(
            pl.when(is_here).then(value).otherwise(name).alias(name)
            for name, value in changed.items()
        )
    return events
