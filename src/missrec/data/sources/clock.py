"""Times and places in an order, exact: numbers of any size of fraction, and dates."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

from missrec.data.sources.dates import DateReader
from missrec.data.sources.events import LARGEST_TIME
from missrec.data.sources.keys import WHOLE
from missrec.data.sources.values import is_nothing, shown

_DIGITS_OF_LARGEST = len(str(LARGEST_TIME))
_MOST_DIGITS = 1000  # of a number that is compared exactly
_EXACT = Context(prec=3 * _MOST_DIGITS, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation])
_REVERSED = str.maketrans("0123456789", "9876543210")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_FINER = re.compile(r"([.,]\d{6})(\d+)")  # digits below the microsecond


class Exact(NamedTuple):
    """A number without a loss.

    Attributes:
        whole: the largest whole number that is not above it.
        fraction: decimals of what is above that, without zeros at the end: "25" is a quarter. So
            two are in order as their texts are.
    """

    whole: int
    fraction: str

    @property
    def number(self) -> Decimal:
        """The number itself."""
        return _EXACT.add(Decimal(self.whole), Decimal(f"0.{self.fraction or 0}"))


def exactly(number: Decimal, factor: Decimal) -> Exact:
    """A product without a loss.

    Raises:
        ValueError: it does not fit in 64 bits, or the number has too many digits.
    """
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # it is finite
    if not number:
        return Exact(0, "")
    if number.adjusted() + factor.adjusted() > _DIGITS_OF_LARGEST:
        raise ValueError("is too large")
    if len(digits) > _MOST_DIGITS or exponent < -_MOST_DIGITS:
        raise ValueError(f"has more than {_MOST_DIGITS} digits")
    product = _EXACT.multiply(number, factor)
    floor = product.to_integral_value(ROUND_FLOOR, context=_EXACT)
    if abs(floor) >= LARGEST_TIME:  # the fraction may round it up
        raise ValueError("is too large")
    decimals = format(_EXACT.subtract(product, floor), "f").partition(".")[2]
    return Exact(int(floor), decimals.rstrip("0"))


def ranked(number: Decimal) -> Exact:
    """What has the place of a number among others, of any size; the number itself where it fits.

    Of others the whole number is the largest there is, and their own is in the fraction, after
    the count of its digits: so texts go in the order of the numbers. Below zero all is reversed.

    Raises:
        ValueError: the number has too many digits.
    """
    try:
        return exactly(number, Decimal(1))
    except ValueError:
        _, digits, exponent = number.as_tuple()
        is_large = _DIGITS_OF_LARGEST <= number.adjusted() + 1 < _MOST_DIGITS
        if not is_large or max(len(digits), -int(exponent)) > _MOST_DIGITS:
            raise
    floor = number.to_integral_value(ROUND_FLOOR, context=_EXACT)
    decimals = format(_EXACT.subtract(number, floor), "f").partition(".")[2]
    whole = format(abs(floor), "f")
    place = f"{len(whole):04d}{whole}"
    if number < 0:
        return Exact(-LARGEST_TIME, (place.translate(_REVERSED) + decimals).rstrip("0"))
    return Exact(LARGEST_TIME, (place + decimals).rstrip("0"))


class Clock:
    """Reads one column; its first value decides whether it has dates or numbers."""

    def __init__(
        self, column: str, *, scale: float, time_format: str | None, ranks: bool = False
    ) -> None:
        """Keeps the settings.

        Args:
            column: its name, for messages.
            scale: numbers are multiplied by this, as exactly as it is written.
            time_format: of dates, as `datetime.strptime` takes it; None for ISO dates, or numbers.
            ranks: numbers only give an order, see `ranked`; then the scale is 1.

        Raises:
            ValueError: the scale is no number above 0, or the format names nothing that there is.
        """
        if not 0 < scale < math.inf:
            raise ValueError(f"time_scale ({scale}) must be a number above 0")
        self.has_dates: bool | None = None if time_format is None else True
        self.scale = scale
        self._column = column
        self._factor = Decimal(repr(scale))
        self._format = time_format
        self._dates = DateReader(time_format)
        self._is_plain = scale == 1
        self._ranks = ranks

    def bound(self, name: str, value: Any) -> tuple[Exact, bool]:
        """A value that times are to be compared with, and whether it is a date.

        Args:
            name: of the value, for messages.
            value: a number or an ISO date; where a format was named, a date of that, too.

        Raises:
            ValueError: it is neither.
        """
        if self._format is not None:
            with suppress(ValueError):
                reader = Clock(name, scale=self.scale, time_format=self._format)
                return reader.read(str(value)), True
        reader = Clock(name, scale=self.scale, time_format=None, ranks=self._ranks)
        return reader.read(str(value)), bool(reader.has_dates)

    def read(self, value: Any) -> Exact:
        """The number in a cell times the scale; of a date, microseconds since 1970.

        Raises:
            ValueError: there is none, it is none of both, it is a date where others are numbers or
                the other way round, or it is too large.
        """
        if self.has_dates is False and self._is_plain and type(value) in (str, int):
            try:
                whole, decimals = int(value), ""
            except ValueError:
                before, _, decimals = value.partition(".")
                is_plain = before.isdecimal() and decimals.isdecimal() and value.isascii()
                whole = int(before) if is_plain and len(value) < _MOST_DIGITS else LARGEST_TIME
            if -LARGEST_TIME < whole < LARGEST_TIME:
                return Exact(whole, decimals.rstrip("0"))
        return self._read(value)

    def _read(self, value: Any) -> Exact:
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if is_nothing(value):
            raise ValueError(f"{self._column} is missing")
        number = None if self._format else number_in(value)
        exact = self._moment(value) if number is None else self._scaled(number, value)
        is_date = number is None
        if self.has_dates is None:
            self.has_dates = is_date
        if self.has_dates != is_date:
            kinds = ("a date", "a number") if is_date else ("a number", "a date")
            raise ValueError(
                f"{self._column} {shown(value)} is {kinds[0]}, the first one is {kinds[1]}"
            )
        return exact

    def _scaled(self, number: Decimal, value: Any) -> Exact:
        try:
            return ranked(number) if self._ranks else exactly(number, self._factor)
        except ValueError as error:
            raise ValueError(f"{self._column} {shown(value)} {error}") from error

    def _moment(self, value: Any) -> Exact:
        finer = ""
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day)
        else:
            text = str(value).strip()
            if beyond := _FINER.search(text):
                finer = beyond[2].rstrip("0")
                text = text.replace(beyond[0], beyond[1], 1)
            try:
                found = self._dates.read(text)
                if found is None and self._format and (whole := re.match(WHOLE, text)):
                    found = self._dates.read(whole[1])  # 20191001.0, of a column with gaps
            except ValueError as error:
                raise ValueError(f"{self._column} {error}") from error
            if found is None:
                expected = "neither a number nor an ISO date; time_format takes others"
                if self._format:
                    expected = f"no date in the format {self._format!r}"
                raise ValueError(f"{self._column} {shown(value)} is {expected}")
            moment = found
        try:
            since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
        except OverflowError as error:
            raise ValueError(f"{self._column} {shown(value)} is out of range") from error
        return Exact(since // _MICROSECOND, finer)


def number_in(value: Any) -> Decimal | None:
    """A number in a cell, exact as it is written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
