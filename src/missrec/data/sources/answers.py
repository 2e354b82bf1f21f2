"""What the headers of an HTTP answer say of it."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime

import httpx

TRY_LATER = {408, 425, 429, 500, 502, 503, 504}
"""Statuses after which another try may go better."""


def tells_its_end(response: httpx.Response) -> bool:
    """Whether a body that was cut would have been noticed: it has a length, or comes in chunks.

    One that ends with the connection has neither.
    """
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


def retry_after_sec(response: httpx.Response) -> float:
    """Seconds that the server asks to wait, 0 where it does not; given as such or as a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):  # absent, or no date of any calendar
        return 0
    zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0, (zoned - datetime.now(UTC)).total_seconds())
