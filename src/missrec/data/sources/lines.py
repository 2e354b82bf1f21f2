"""Large text files line by line, and what becomes of lines that cannot be read."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

_SHOWN_CHARS = 200
_log = logging.getLogger(__name__)
_Row = TypeVar("_Row")


def stream_lines(path: Path, *, remedy: str) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and line without its break; a `.gz` is unpacked on the way.

    A byte order mark goes; bytes that are no UTF-8 become U+FFFD. Only a line is in memory.

    Raises:
        ValueError: the packed file is cut or damaged.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8", errors="replace").rstrip("\r\n")
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged after line {number} ({error}); {remedy}") from error


def read_object(line: str) -> dict[str, Any]:
    """The JSON object that a line holds.

    Raises:
        ValueError: it holds none.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("is no JSON object")
    return record


class Rejects:
    """Counts the rows that cannot be used, and lists them in a CSV: file, line, reason, start.

    The list is made with the first such row.
    """

    def __init__(self, *, path: str, max_share: float) -> None:
        """Opens nothing yet.

        Args:
            path: of the list; an older one is replaced.
            max_share: of the rows of a file that may be rejected, in [0, 1].

        Raises:
            ValueError: max_share is outside its range.
        """
        if not 0 <= max_share <= 1:
            raise ValueError(f"max_share ({max_share}) must be in [0, 1]")
        self.path = Path(path)
        self.num_rejected = 0
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
            _log.warning("%s rows cannot be used, see %s", self.num_rejected, self.path)

    def collect(
        self, file: Path, rows: Iterable[tuple[int, _Row]], parse: Callable[[_Row], None]
    ) -> int:
        """Parses the numbered rows of a file and notes those for which that raises ValueError.

        Returns:
            The number of rows.

        Raises:
            ValueError: more than the allowed share was rejected.
        """
        num_rows, before = 0, self.num_rejected
        for number, row in rows:
            num_rows += 1
            try:
                parse(row)
            except ValueError as error:
                self._add(file, number, str(error), row)
        num_rejected = self.num_rejected - before
        if num_rejected > self._max_share * num_rows:
            raise ValueError(
                f"{file}: {num_rejected} of {num_rows} rows cannot be used, at most "
                f"{self._max_share:.2%} may; {self.path} lists them with reasons; correct the "
                "file or the names of its columns, or allow more with rejects.max_share"
            )
        return num_rows

    def _add(self, file: Path, number: int, reason: str, row: object) -> None:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("w", encoding="utf-8", errors="replace", newline="")
            csv.writer(self._stream).writerow(["file", "line", "reason", "start"])
        start = (",".join(row) if isinstance(row, list) else str(row))[:_SHOWN_CHARS]
        csv.writer(self._stream).writerow([file.name, number, reason, start])
        self.num_rejected += 1
