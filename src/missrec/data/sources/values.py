"""What stands in a cell, as a plain text: whatever the format of the file made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any


def is_nothing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, or a text of blanks alone."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


def scalars(value: Any) -> Iterator[Any]:
    """What lists in lists and the values of objects hold, in their order, without the empty ones.

    Bytes are decoded as UTF-8, what is none becomes U+FFFD.
    """
    waiting = [value]
    while waiting:  # no recursion: JSON may be nested deeper than Python goes
        value = waiting.pop()
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif not is_nothing(value):
            yield value


def plain_text(value: Any) -> str:
    """A cell as a text; what lists and objects hold is joined by blanks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        with suppress(TypeError):  # mostly texts alone
            return " ".join(value)
    return " ".join(map(str, scalars(value)))


def shown(value: Any, *, max_chars: int = 80) -> str:
    """A value as a message shows it: its beginning, if it is long."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= max_chars else f"{text[:max_chars]}..."
