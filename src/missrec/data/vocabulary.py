"""External ids to item ids and back; nothing else in the project sees an external id."""

from __future__ import annotations

from pathlib import Path

COPY_AGAIN = "the file may be truncated, copy it again"


def read_lines(path: Path) -> list[str]:
    """The lines of a released text file.

    Raises:
        ValueError: the file is empty, or its last line has no line break: it was cut; or it holds
            bytes that are no UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text ({error}); {COPY_AGAIN}") from error
    if not text:
        raise ValueError(f"{path} is empty; {COPY_AGAIN}")
    lines = text.split("\n")
    if lines.pop():
        raise ValueError(f"{path}, line {len(lines) + 1} ends without a line break; {COPY_AGAIN}")
    return lines


def read_index_file(path: Path) -> list[str]:
    """External ids by index of a released `.item2index` or `.user2index` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a row is not `id <tab> index`, or the indices are not 0..n-1, each once.
    """
    key_of_index: dict[int, str] = {}
    keys: set[str] = set()
    for number, line in enumerate(read_lines(path), start=1):
        key, tab, index = line.rpartition("\t")
        if not tab or not index.isdecimal():
            raise ValueError(f"{path}, line {number}: found {line[:80]!r}, expected id <tab> index")
        if int(index) in key_of_index:
            raise ValueError(f"{path}, line {number}: index {index} occurs twice")
        if key in keys:
            raise ValueError(f"{path}, line {number}: {key!r} occurs twice")
        key_of_index[int(index)] = key
        keys.add(key)
    if sorted(key_of_index) != list(range(len(key_of_index))):
        raise ValueError(
            f"{path}: the {len(key_of_index)} indices are not 0..{len(key_of_index) - 1}; "
            f"{COPY_AGAIN}"
        )
    return [key_of_index[index] for index in range(len(key_of_index))]
