"""Which files a table is made of: one, several, or a folder of partitions."""

from __future__ import annotations

import filecmp
import glob
import logging
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from missrec.data.sources.lines import open_unpacked

DELIMITED = (".csv", ".tsv", ".txt", ".dat", ".inter", ".item", ".user")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet",)
_TEXTS = (*DELIMITED, *JSON_LINES)

_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_BARE_PART = re.compile(r"(part-[\w-]+|\d+_\d+)(\.gz)?")  # of Hadoop, Spark and Hive
_NO_TEXT = re.compile(rb"%PDF|PK\x03\x04|BZh|\x1f\x8b|\x28\xb5\x2f\xfd|7z\xbc\xaf|\xfd7zXZ")
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, whose letters hold zeros
_log = logging.getLogger(__name__)

Constants = Mapping[str, str | None]


class Part(NamedTuple):
    """A file of a table.

    Attributes:
        path: where it is.
        name: how messages and manifests name it.
        constants: columns that folders in the named one say, as in `date=2024-01-01/part-0.csv`.
        around: columns that folders above what was named say; the file's own come first.
    """

    path: Path
    name: str
    constants: Constants
    around: Constants = MappingProxyType({})


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds: that before `.gz`, in small letters; or nothing.

    Where a file has another suffix or none, its beginning tells `.txt`, `.jsonl` and `.parquet`.
    """
    return _told_kind(path) or _kind_of_content(path)


def _told_kind(path: Path) -> str:
    is_packed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if is_packed else path).suffix.lower()
    return suffix if suffix in _TEXTS or (suffix in PARQUET and not is_packed) else ""


def _kind_of_content(path: Path) -> str:
    is_packed = path.suffix.lower() == ".gz"
    try:
        with open_unpacked(path) as stream:
            head = stream.read(1024)
    except (OSError, EOFError, zlib.error):
        return ""
    named = path.with_suffix("") if is_packed else path
    if not head and named.suffix:
        return ""
    if head.startswith(b"PAR1"):
        return "" if is_packed else ".parquet"
    if _NO_TEXT.match(head) or (b"\0" in head and not head.startswith(_MARKS)):
        return ""
    return ".jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else ".txt"


def find_parts(named: str | Sequence[str]) -> list[Part]:
    """The files of a table, in the order of the names; those of a folder by their names.

    A file that is named several times counts once, at its first place.

    Args:
        named: a file, a folder, a pattern such as `clicks-*.csv` or `date=*/p.csv`, or several of
            these.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be told what a file holds, or one is there packed and unpacked.
    """
    names = named if isinstance(named, list | tuple) else [named]  # a name may be a number
    found: dict[Path, tuple[Path, Constants, Constants]] = {}
    for name in names:
        for one in _found(_place(str(name))):
            found.setdefault(one[0].resolve(), one)
    paths = [path for path, _, _ in found.values()]
    for path in paths:
        if not kind_of(path):
            *most, last = (*_TEXTS, *PARQUET)
            raise ValueError(
                f"{path}: cannot read {path.suffix or 'a file without a suffix'}, expected "
                f"{', '.join(most)}, each also as .gz, {last}, or another text"
            )
    _check_copies(paths)
    return [Part(*one, *of) for one, (_, *of) in zip(_named(paths), found.values(), strict=True)]


def _place(name: str) -> Path:
    return Path(name if os.path.lexists(name) else os.path.expanduser(name))  # noqa: PTH111


def _found(place: Path) -> Iterator[tuple[Path, Constants, Constants]]:
    """The files that a name stands for, with the columns that folders in it say, and above it."""
    if place.is_file():
        yield place, {}, _constants(place.absolute().parent)
        return
    if place.is_dir():
        yield from _in_folder(place)
        return
    matches = _matches(place)
    files = [path for path in matches if path.is_file()]
    inside = [one for path in matches if path.is_dir() for one in _in_folder(path)]
    if not files and not inside:
        raise FileNotFoundError(f"{place} is missing; name the file that holds the data")
    found = [*((path, {}, _constants(path.absolute().parent)) for path in files), *inside]
    yield from sorted(found, key=lambda one: _in_order(one[0]))


def _matches(pattern: Path) -> list[Path]:
    """What fits a pattern, but for what tools leave beside it; a folder's name may look like one.

    A name without a pattern has none, for it is not there.
    """
    folder = next(parent for parent in pattern.parents if parent.is_dir())
    rest = str(pattern.relative_to(folder))
    found = [folder / name for name in glob.glob(rest, root_dir=folder, recursive=True)]  # noqa: PTH207
    return (
        found if pattern.name.startswith("_") else [path for path in found if path.name[0] != "_"]
    )


def _in_folder(folder: Path) -> Iterator[tuple[Path, Constants, Constants]]:
    """Its files, but for what tools leave beside partitions: `_SUCCESS`, `.part-0.csv.crc`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    shown = [
        path
        for path in files
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    data = [path for path in shown if _told_kind(path) or _BARE_PART.fullmatch(path.name)]
    if not data:
        raise FileNotFoundError(
            f"{folder} holds no file that can be read; name the file that holds the data"
        )
    if len(data) < len(shown):
        left = next(path for path in shown if path not in data)
        _warn(
            "%s: %s files are left out, as their names do not say that they are data, such as %s",
            folder,
            f"{len(shown) - len(data):,}",
            left.relative_to(folder),
        )
    around = _constants(folder.absolute())
    for path in sorted(data, key=_in_order):
        yield path, _constants(path.relative_to(folder).parent), around


def _in_order(path: Path) -> list[tuple[int, str]]:
    """`part-2` before `part-10`."""
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


def _constants(folders: Path) -> dict[str, str | None]:
    matches = (_PARTITION.fullmatch(folder) for folder in folders.parts)
    named = {unquote(match[1]): unquote(match[2]) for match in matches if match}
    return {key: None if value == _NO_VALUE else value for key, value in named.items()}


def _check_copies(paths: Sequence[Path]) -> None:
    """Refuses a file and its packed copy; says what may be a copy: two formats, equal files."""
    alike: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        for other in alike[unpacked]:
            raise ValueError(f"{other} and {path} are one file, packed and not; name one of them")
        alike[unpacked].append(path)
    stems: dict[Path, Path] = {}
    for unpacked, (path, *_) in alike.items():
        stem = unpacked.with_suffix("") if _told_kind(unpacked) else unpacked
        other = stems.setdefault(stem, path)
        if other != path:
            _warn("%s and %s are both read; name one if they hold the same", other, path)
    sizes: dict[int, Path] = {}
    for path in paths:
        other = sizes.setdefault(path.stat().st_size, path)
        if other != path and path.stat().st_size and filecmp.cmp(other, path, shallow=False):
            _warn("%s and %s are equal and both read; name one if it is a copy", other, path)


@lru_cache(maxsize=64)
def _warn(message: str, *values: object) -> None:
    """Warns once: the files of a source are asked for to read them, and to name them."""
    _log.warning(message, *values)


def _named(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Files with their last names, or as much of their paths as tells them apart."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        common = os.path.commonpath([path.absolute().parent for path in paths])
        names = [path.absolute().relative_to(common).as_posix() for path in paths]
    return list(zip(paths, names, strict=True))
