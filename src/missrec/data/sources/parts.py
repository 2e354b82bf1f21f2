"""Which files a table is made of: one, several, or a folder of partitions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

DELIMITED = (".csv", ".tsv", ".txt", ".dat", ".inter", ".item", ".user")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet",)
_TEXTS = (*DELIMITED, *JSON_LINES)

_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Part(NamedTuple):
    """A file of a table.

    Attributes:
        path: where it is.
        name: how messages and manifests name it.
        constants: columns that folders on the way to it name, as in `date=2024-01-01/part-0.csv`.
    """

    path: Path
    name: str
    constants: Mapping[str, str | None]


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds: that before `.gz`, in small letters; or nothing."""
    is_packed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if is_packed else path).suffix.lower()
    return suffix if suffix in _TEXTS or (suffix in PARQUET and not is_packed) else ""


def find_parts(named: str | Sequence[str]) -> list[Part]:
    """The files of a table, in the order of the names; those of a folder by their names.

    Args:
        named: a file, a folder, a pattern such as `clicks-*.csv`, or several of these.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file's suffix says nothing of what it holds.
    """
    names = named if isinstance(named, list | tuple) else [named]  # a name may be a number
    found = [part for name in names for part in _found(Path(str(name)))]
    for path, _ in found:
        if not kind_of(path):
            *most, last = (*_TEXTS, *PARQUET)
            raise ValueError(
                f"{path}: cannot read {path.suffix or 'a file without a suffix'}, expected "
                f"{', '.join(most)}, each also as .gz, or {last}"
            )
    shown = _short([path for path, _ in found])
    return [
        Part(path, name, constants) for (path, constants), name in zip(found, shown, strict=True)
    ]


def _found(place: Path) -> Iterator[tuple[Path, Mapping[str, str | None]]]:
    if place.is_file():
        yield place, {}
        return
    if place.is_dir():
        inside: Iterable[Path] = (path for path in place.rglob("*") if path.is_file())
        paths = [path for path in inside if _is_data(path.relative_to(place))]
    else:
        # One without a pattern matches nothing, for it is not there.
        paths = [path for path in place.parent.glob(place.name) if path.is_file()]
    if not paths:
        what = "holds no file that can be read" if place.is_dir() else "is missing"
        raise FileNotFoundError(f"{place} {what}; name the file that holds the data")
    for path in sorted(paths, key=_in_order):
        yield path, _constants(path.relative_to(place).parent if place.is_dir() else Path())


def _is_data(path: Path) -> bool:
    """Not what tools leave beside their partitions, such as `_SUCCESS` or `.part-0.csv.crc`."""
    return bool(kind_of(path)) and not any(part.startswith((".", "_")) for part in path.parts)


def _in_order(path: Path) -> list[tuple[int, str]]:
    """`part-2` before `part-10`."""
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


def _constants(folders: Path) -> dict[str, str | None]:
    matches = (_PARTITION.fullmatch(folder) for folder in folders.parts)
    named = {unquote(match[1]): unquote(match[2]) for match in matches if match}
    return {key: None if value == _NO_VALUE else value for key, value in named.items()}


def _short(paths: Sequence[Path]) -> list[str]:
    """The last names of files, or as much of their paths as tells them apart."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([path.absolute().parent for path in paths])
    return [path.absolute().relative_to(common).as_posix() for path in paths]
