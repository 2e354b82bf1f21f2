"""Large text files line by line, and what becomes of lines that cannot be read."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

_SHOWN_CHARS = 200
_REASON_CHARS = 500
_SHOWN_ROWS = 3  # of each table, on the terminal
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as the next one does
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ORDERS_OF_UTF_32: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (False, False, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (True, True, False, False): "utf-32-be",
}
_GUESSES = ("cp1252", "latin-1")  # the latter takes any byte
_GZIP = b"\x1f\x8b"
_log = logging.getLogger(__name__)
_Row = TypeVar("_Row")


def open_unpacked(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """A file to be read, a `.gz` unpacked on the way, as is one that only begins like one.

    Some servers pack what they send, and its name does not say so.
    """
    stream = path.open("rb")
    if path.suffix.lower() != ".gz" and not stream.peek(len(_GZIP)).startswith(_GZIP):
        return stream
    stream.close()
    return gzip.open(path)


def stream_lines(
    path: Path, *, remedy: str, encoding: str | None = None
) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and line without its break; see `open_unpacked`.

    A byte order mark goes, and says that a file is UTF-16. Bytes that are not of the encoding
    become U+FFFD, and it is said in how many lines. Only a line is in memory.

    Args:
        path: of the file.
        remedy: what to do about a damaged one.
        encoding: of the file, as Python names it; None for UTF-8, or what the mark says.

    Raises:
        ValueError: the packed file is cut or damaged, there is no such encoding, or it needs a
            mark that the file lacks.
    """
    number, misread = 0, Misread(path)
    try:
        with open_unpacked(path) as stream:
            head = stream.peek(4)  # at least; what is buffered
            mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
            codec = _codec(path, encoding or _MARKS.get(mark) or _without_mark(head), head, mark)
            has_old_breaks = b"\r" in head and b"\n" not in head  # a carriage return alone
            if codecs.lookup(codec).name == "utf-8" and not has_old_breaks:
                stream.seek(len(mark))
                for number, line in enumerate(stream, start=1):
                    try:
                        text = line.decode()
                    except UnicodeDecodeError:
                        text = line.decode(errors="replace")
                        misread.note(number, text, encoding="UTF-8", raw=line)
                    yield number, text.rstrip("\r\n")
            else:
                breaks = None if has_old_breaks else "\n"
                texts = io.TextIOWrapper(stream, codec, errors="replace", newline=breaks)
                for number, text in enumerate(texts, start=1):
                    if "\ufffd" in text:
                        misread.note(number, text, encoding=codec)
                    yield number, text.removeprefix("\ufeff").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged after line {number} ({error}); {remedy}") from error
    misread.warn()


def check_encoding(encoding: str) -> None:
    """Refuses an encoding that there is not.

    Raises:
        ValueError: Python has none of that name, or it is none of texts.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError) as error:
        raise ValueError(
            f"encoding ({encoding!r}) is none of a text; such as utf-8, cp1252, latin-1, utf-16, "
            "gb18030, shift_jis"
        ) from error


class Misread:
    """Counts the rows that are not in the encoding that they are read in."""

    def __init__(self, path: Path) -> None:
        """Takes the file, for the message."""
        self._path = path
        self._count, self._first = 0, ""

    def note(self, number: int, line: str, *, encoding: str, raw: bytes = b"") -> None:
        """Takes note of a row, and of its bytes where they are at hand."""
        self._count += 1
        if self._count == 1:
            place = line.index("\ufffd")
            shown = f"{line[max(0, place - 20) : place + 20].strip()!r}"
            self._first = f"{encoding}, the first is {number}: {shown}; set encoding"
            for guess in _GUESSES if raw else ():
                try:
                    as_guessed = raw.decode(guess)
                except UnicodeDecodeError:
                    continue
                part = as_guessed[max(0, place - 20) : place + 20].strip()
                self._first += f", such as {guess}, which makes it {part!r}"
                break

    def warn(self) -> None:
        """Says it."""
        if self._count:
            _log.warning(
                "%s: %s rows hold bytes that are no %s",
                self._path,
                f"{self._count:,}",
                self._first,
            )


def _without_mark(head: bytes) -> str:
    """UTF-16 without a byte order mark has a zero in each two bytes of plain letters."""
    if head[1:2] == head[3:4] == b"\0" != head[:1]:
        return "utf-16-le"
    return "utf-16-be" if head[:1] == head[2:3] == b"\0" != head[1:2] else "utf-8"


def _codec(path: Path, encoding: str, head: bytes, mark: bytes) -> str:
    """The encoding, with the order of the bytes where the file has no mark of it."""
    name = codecs.lookup(encoding).name
    if name not in ("utf-16", "utf-32") or _MARKS.get(mark) == name or not head:
        return encoding
    guess = _without_mark(head) if name == "utf-16" else _ORDERS_OF_UTF_32.get(_zeros(head), "")
    if not guess.startswith(name):
        raise ValueError(
            f"{path} does not begin with the mark of {name}; set encoding={name}-le or {name}-be, "
            "or none if it is UTF-8"
        )
    return guess


def _zeros(head: bytes) -> tuple[bool, ...]:
    return tuple(byte == 0 for byte in head[:4])


def read_object(line: str, *, decode: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """The JSON object that a line holds.

    Raises:
        ValueError: it holds none.
    """
    try:
        record = decode(line)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("is no JSON object")
    return record


class Rejects:
    """Counts the rows that cannot be used, and lists them in a CSV: file, line, reason, start.

    The list is made with the first such row.
    """

    def __init__(self, *, path: str | None, max_share: float) -> None:
        """Opens nothing yet.

        Args:
            path: of the list; an older one is replaced. None counts them alone, as where the same
                rows have been listed already.
            max_share: of the rows of a table that may be rejected, in [0, 1].

        Raises:
            ValueError: max_share is no number, or outside its range.
        """
        is_number = isinstance(max_share, int | float) and not isinstance(max_share, bool)
        if not (is_number and 0 <= max_share <= 1):
            raise ValueError(f"max_share ({max_share}) must be a number in [0, 1]")
        self.path = None if path is None else Path(path)
        self.num_rejected = 0
        self._num_listed = 0
        self._max_share = max_share
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        """The same object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the list and says where it is."""
        if self._stream is not None:
            self._stream.close()
            in_part = self._num_listed - self.num_rejected
            also = f", {in_part:,} not in all" if in_part else ""
            _log.warning("%s rows cannot be used%s, see %s", self.num_rejected, also, self.path)

    def collect(
        self, file: Path, rows: Iterable[tuple[int, _Row]], parse: Callable[[_Row], str | None]
    ) -> int:
        """Parses the numbered rows of a file and notes those for which that raises ValueError.

        What parsing returns of a row that is used, of something in it that is not, is listed too.

        Returns:
            The number of rows.

        Raises:
            ValueError: more than the allowed share was rejected.
        """
        return self.collect_parts(str(file), [(file.name, rows, parse)])

    def collect_parts(
        self,
        table: str,
        parts: Iterable[tuple[str, Iterable[tuple[int, _Row]], Callable[[_Row], str | None]]],
    ) -> int:
        """`collect` of a table in several files; the allowed share is that of all.

        Args:
            table: how a message names it.
            parts: name of each file, its numbered rows, and what parses one.
        """
        num_rows, before, listed_before = 0, self.num_rejected, self._num_listed
        first = ""
        for name, rows, parse in parts:
            for number, row in rows:
                num_rows += 1
                try:
                    unused = parse(row)
                except ValueError as error:
                    unused = str(error)[:_REASON_CHARS]
                    self.num_rejected += 1
                    first = first or f"{name}, line {number}: {unused}"
                if unused:
                    is_shown = self._num_listed - listed_before < _SHOWN_ROWS
                    self._list(name, number, unused, row, is_shown=is_shown)
        num_rejected = self.num_rejected - before
        if num_rejected > self._max_share * num_rows:
            raise ValueError(
                f"{table}: {num_rejected} of {num_rows} rows cannot be used, at most "
                f"{self._max_share:.2%} may ({first}); {self._place()}"
                "correct the file or the settings of its columns, or allow more with "
                "rejects.max_share"
            )
        return num_rows

    def _place(self) -> str:
        return "" if self.path is None else f"{self.path} lists them with reasons; "

    def _list(self, name: str, number: int, reason: str, row: object, *, is_shown: bool) -> None:
        if self.path is None:
            return
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("w", encoding="utf-8", errors="replace", newline="")
            csv.writer(self._stream).writerow(["file", "line", "reason", "start"])
        start = (",".join(map(str, row)) if isinstance(row, list) else str(row))[:_SHOWN_CHARS]
        csv.writer(self._stream).writerow([name, number, reason, start])
        self._num_listed += 1
        if is_shown:
            _log.warning("%s, line %s: %s; it is %r", name, number, reason, start)
