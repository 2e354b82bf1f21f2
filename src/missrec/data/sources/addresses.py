"""Addresses of images in a cell: one, several in one text, lists, and objects of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from missrec.data.sources.values import is_nothing, quoted_in, scalars, unwritten

_NO_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_ADDRESS = re.compile(rf"https?://[^\s/?#{_NO_CONTROLS}][^{_NO_CONTROLS}]*", re.IGNORECASE)
_ONE_ADDRESS = re.compile(rf"https?://[^\s/?#|,;{_NO_CONTROLS}][^\s|,;{_NO_CONTROLS}]*")
_FILE = re.compile(
    rf"(?![/\\~]|[a-z][a-z0-9+.-]*:|.*://)[^|{_NO_CONTROLS}]+\.(?:jpe?g|jpe|jfif|mpo|png|webp|gif|bmp|avif)",
    re.IGNORECASE,
)
_UPWARDS = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)")
_HOST = re.compile(  # as the first of several folders, where an address lacks its beginning
    r"(?:www\.[^\\/\s]+|(?:[a-z0-9-]+\.)+(?:com|net|org|info|biz|io|eu|co|de|uk|fr|it|es|nl|pl|ru"
    r"|cn|jp|kr|in|br|au|ca|us|shop|store|cloud))(?::\d+)?/",
    re.IGNORECASE,
)
_BETWEEN_ADDRESSES = re.compile(r"\s*\|\s*|[\s,;]+(?=https?://)", re.IGNORECASE)
_BETWEEN_FILES = re.compile(r"\s*[,;]\s*")

_SIZES = ("hi_res", "xlarge", "large", "medium", "small", "thumb", "thumbnail")
"""Names of pictures in an object, best first; those of other names stay where they are."""


class Addresses(NamedTuple):
    """What a cell names.

    Attributes:
        kept: addresses, and relative paths of image files, best first.
        refused: what is neither.
    """

    kept: list[str]
    refused: list[str]


def read_addresses(cell: Any) -> Addresses:
    """The addresses in a cell.

    Several in one text are told apart by `|`, or by commas, semicolons and blanks where each is an
    address or a file; a list written as a text, in JSON or as Python shows it, is read as one. An
    object, such as `{"large": ..., "variant": ...}`, may say other things besides; lists in it are
    read picture by picture, after what stands beside them.
    """
    several = cell if type(cell) is list else [cell]
    if all(type(one) is str and _ONE_ADDRESS.fullmatch(one) for one in several):
        return Addresses(list(several), [])  # what most are
    found = Addresses([], [])
    for picture in _pictures(cell):
        if isinstance(picture, Mapping):
            sizes = sorted(picture, key=lambda name: _SIZES.index(name) if name in _SIZES else -1)
            named = [text for size in sizes for text in _texts(picture[size]) if _fits(text)]
            found.kept.extend(named)
            if not named and any(True for _ in scalars(picture)):
                found.refused.append(str(picture))
        else:
            for text in _texts(picture):
                (found.kept if _fits(text) else found.refused).append(text)
    return found


def is_address(text: Any) -> bool:
    """Whether it is an http or https address, and holds no control character."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


def is_image_file(text: str) -> bool:
    """Whether it is the relative path of an image file, by its suffix, that leads nowhere above."""
    return _FILE.fullmatch(text) is not None and _UPWARDS.search(text) is None


def _fits(text: str) -> bool:
    return is_address(text) or (is_image_file(text) and _HOST.match(text) is None)


def what_is_wrong(text: str) -> str:
    """Why a refused text is none, as far as it is no plain "neither"; empty otherwise."""
    if text.startswith("//") or (_HOST.match(text) and is_image_file(text)):
        shown = f"{text.lstrip('/')[:40]}{'...' * (len(text) > 40)}"
        return f" (begins with a host: write https://{shown})"
    return ""


def _pictures(cell: Any) -> Iterator[Any]:
    """What a cell holds, one after the other: objects, one a picture, or other values."""
    waiting = [cell]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, Mapping):
            value = _rows(value) or value
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif not is_nothing(value):
            yield value


def _rows(value: Mapping[str, Any]) -> list[Any]:
    """The pictures of an object with lists in it: what stands beside the lists, then row by row.

    Without what says other things: lists and values in which no picture is. Empty where all do.
    """
    telling = {key: cell for key, cell in value.items() if any(map(_fits, _texts(cell)))}
    lists = {key: cell for key, cell in telling.items() if isinstance(cell, list)}
    if not lists and not any(isinstance(cell, list) for cell in value.values()):
        return []
    single = {key: cell for key, cell in telling.items() if key not in lists}
    rows: list[Any] = [dict(zip(lists, row, strict=True)) for row in zip_longest(*lists.values())]
    if len(lists) == 1:
        (rows,) = lists.values()
    return [single, *rows] if single else rows


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value without lists, those in one text each for itself."""
    for scalar in scalars(value):
        whole = str(scalar).strip().replace("\\/", "/")  # as PHP writes JSON
        texts = _BETWEEN_ADDRESSES.split(whole)
        if len(texts) == 1 and all(map(is_image_file, files := _BETWEEN_FILES.split(whole))):
            texts = files
        yield from filter(None, (text.strip() for text in texts))


def _parsed(text: str) -> Any:
    """The list or the object that is written in a text; the text itself where it is none."""
    value = unwritten(text)
    inner = text.strip()
    ends, within = (inner[:1], inner[-1:]), inner[1:-1]
    is_list = ends == ("[", "]") or (ends == ("{", "}") and not set(within) & set("'\""))
    if value is not text or not is_list or "{" in within:
        return value
    return quoted_in(inner) or within.split(",")
