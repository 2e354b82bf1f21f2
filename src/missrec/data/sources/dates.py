"""Dates in texts: ISO, of mail, or of a named format, with the zones that may follow."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

_LONGEST_DATE = 100  # characters

_OFFSET = re.compile(  # set apart from the time; Go and JavaScript name the zone besides
    r"\s*(?:UTC|GMT|\s)\s*([+-])(\d{1,2})(?::?(\d{2}))?(?:\s+(?:[A-Z]{1,5}|\([^()]+\)))?$"
)
_ALSO_NAMED = re.compile(r"(?<=[\dZ])\[[A-Za-z0-9_/+-]+\]$")  # Java: +02:00[Europe/Berlin]
_ZONE = re.compile(
    r"(.*[\dMm])\s*\(?\b(?![AaPp][Mm]\b)([A-Za-z][A-Za-z_]*(?:[/+-][A-Za-z0-9_+-]+)*)\)?$"
)
_OF_MAIL = re.compile(  # RFC 2822, whose names of zones these are
    r"(?:[A-Za-z]{3},?\s+)?\d{1,2}\s+[A-Za-z]{3}\s+\d{4}\s+\d{1,2}:\d{2}(?::\d{2})?"
    r"(?:\s+(?:[+-]\d{4}(?:\s+\([A-Za-z]+\))?|UTC?|GMT|Z|[ECMP][SD]T))?"
)
_HOURS = {  # east of Greenwich
    **{"EDT": -4, "CST": -6, "CDT": -5, "MDT": -6, "PST": -8, "PDT": -7},
    **{"WEST": 1, "CEST": 2, "EEST": 3},
}
"""Zones of RFC 2822, and those of Europe in summer, that the tz database does not know by these
names. Other abbreviations stand for several zones: IST is that of India, Israel and Ireland."""


class DateReader:
    """Reads dates of one format."""

    def __init__(self, time_format: str | None) -> None:
        """Keeps the format.

        Args:
            time_format: as `datetime.strptime` takes it; None for ISO dates and those of mail. A
                `%Z` at its end stands for any zone, which may also be missing.

        Raises:
            ValueError: the format names nothing that there is.
        """
        if time_format is not None:
            _check_format(time_format)
            # Python's own knows but the zones of this machine, and forgets which it was.
            time_format = time_format.removesuffix("%Z").rstrip()
        self._format = time_format

    def read(self, text: str) -> datetime | None:
        """The date in a text, which a zone may follow; None where it is none.

        Raises:
            ValueError: there is no such zone.
        """
        if len(text) > _LONGEST_DATE:
            return None
        if not text.endswith((" UTC", " GMT")) and (moment := self._date(text)) is not None:
            return moment
        if (named := _ALSO_NAMED.search(text)) and (moment := self._date(text[: named.start()])):
            return moment
        if (offset := _OFFSET.search(text)) and (moment := self._date(text[: offset.start()])):
            minutes = int(offset[3] or 0)
            return _at_offset(moment, sign=offset[1], hours=int(offset[2]), minutes=minutes)
        if (zoned := _ZONE.fullmatch(text)) and (moment := self._date(zoned[1].strip())):
            zone = _zone(zoned[2])
            if zone is None:
                raise ValueError(f"{text!r}: there is no zone {zoned[2]!r}")
            return moment.replace(tzinfo=zone)
        return _of_mail(text) if self._format is None else None

    def _date(self, text: str) -> datetime | None:
        try:
            if self._format is None:
                return datetime.fromisoformat(text)
            return datetime.strptime(text, self._format)
        except (ValueError, OverflowError):
            return None


def _at_offset(moment: datetime, *, sign: str, hours: int, minutes: int) -> datetime | None:
    offset = timedelta(hours=hours, minutes=minutes)
    if offset >= timedelta(days=1):
        return None
    return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset))


def _of_mail(text: str) -> datetime | None:
    """The date of a text such as `Tue, 1 Oct 2019 00:16:40 GMT`."""
    if _OF_MAIL.fullmatch(text) is None:
        return None
    try:
        return parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None


def _check_format(time_format: str) -> None:
    try:
        datetime.strptime("", time_format)
    except (ValueError, re.error) as error:
        if "does not match" not in str(error):
            raise ValueError(f"time_format ({time_format!r}): {error}") from error


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    """A zone by its name in the tz database, or abbreviated; None where there is none."""
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if name in _HOURS:
        return timezone(timedelta(hours=_HOURS[name]))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
