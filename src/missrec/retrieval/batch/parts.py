"""The folder beside an output in which it is made shard by shard, and resumes after a kill."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from missrec.files import make_folder, remove_drafts, write_json, write_parquet
from missrec.retrieval.batch.requests import Requests

_ASKED, _PREPARED = "asked.json", "prepared.json"
_REQUESTS, _SHARD, _VECTORS = "requests", "shard", "vectors"
_OWN = re.compile(rf"\..*|{_ASKED}|{_PREPARED}|({_REQUESTS}|{_SHARD}|{_VECTORS})-\d+\.parquet")
_SCHEMA: Any = {"key": pl.String, "items": pl.String}
_LONGEST_SHOWN = 60


class OtherPartsError(ValueError):
    """The folder holds the parts of an output that was asked for in another way."""


class Parts:
    """What has been done so far of an output.

    It is made in three steps: what is asked for is noted; the requests are cut into shards of fixed
    size, each a file; and for each of these the answers become a file. A file is whole or not
    there, so that whoever comes after a kill does what is missing, by the same cuts.
    """

    def __init__(self, output: Path) -> None:
        """Takes the path of the output; nothing is read yet."""
        self.folder = output.with_name(f"{output.name}.parts")

    def begin(self, asked: Mapping[str, Any], *, overwrite: bool) -> None:
        """Notes what is asked for, or finds that it has been.

        Args:
            asked: all that the output depends on, plain values.
            overwrite: whether parts of something else may be removed.

        Raises:
            OtherPartsError: there are parts of something else, and they may not.
            ValueError: the folder holds files that are no parts.
        """
        make_folder(self.folder)
        for path in self.folder.iterdir():
            if not _OWN.fullmatch(path.name):
                raise ValueError(f"{path} is no part of an output; move it away")
        remove_drafts(self.folder)
        before = self._read(_ASKED)
        now = json.loads(json.dumps(asked))  # which knows no tuples
        if before == now:
            return
        if before is not None and self.has_answers and not overwrite:
            raise OtherPartsError(
                f"{self.folder} holds parts of another output: {_difference(before, now)}"
            )
        self._clear()
        write_json(self.folder / _ASKED, now)

    @property
    def has_answers(self) -> bool:
        """Whether anything is done that is worth to be kept."""
        return any(self.folder.glob(f"{_SHARD}-*.parquet"))

    @property
    def prepared(self) -> dict[str, Any] | None:
        """What was noted when all requests had been written; None before."""
        return self._read(_PREPARED)

    def write_requests(self, shard: int, requests: Requests) -> None:
        """Writes the requests of a shard."""
        # As texts: Polars takes ten times as long for lists of Python.
        histories = [json.dumps(history) for history in requests.histories]
        table = pl.DataFrame({"key": requests.keys, "items": histories}, schema=_SCHEMA)
        write_parquet(self._file(_REQUESTS, shard), table)

    def finish_requests(self, facts: Mapping[str, Any]) -> None:
        """Notes that all requests are written, and what else is worth to be known of them."""
        write_json(self.folder / _PREPARED, dict(facts))

    def read_requests(self, shard: int) -> Requests:
        """The requests of a shard."""
        table = pl.read_parquet(self._file(_REQUESTS, shard))
        return Requests(table["key"].to_list(), list(map(json.loads, table["items"])))

    def write_answers(
        self, shard: int, answers: pl.DataFrame, vectors: pl.DataFrame | None = None
    ) -> None:
        """Writes the answers of a shard; then it is done."""
        if vectors is not None:
            write_parquet(self._file(_VECTORS, shard), vectors)
        write_parquet(self._file(_SHARD, shard), answers)

    def missing(self, num_shards: int) -> list[int]:
        """The shards that have no answers yet."""
        return [shard for shard in range(num_shards) if not self._file(_SHARD, shard).exists()]

    def answers(self, num_shards: int) -> list[Path]:
        """The files of all answers, in order."""
        return [self._file(_SHARD, shard) for shard in range(num_shards)]

    def vectors(self, num_shards: int) -> list[Path]:
        """The files of all vectors, in order."""
        return [self._file(_VECTORS, shard) for shard in range(num_shards)]

    def remove(self) -> None:
        """Removes the folder, what is asked for last: killed meanwhile, it is still known."""
        self._clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clear(self) -> None:
        """Removes what is there; killed meanwhile, what is left is what some kill leaves."""
        # Without the note of the requests, whoever comes next prepares them again; a shard that
        # has answers has vectors.
        kinds = (f"{kind}-*.parquet" for kind in (_SHARD, _VECTORS, _REQUESTS))
        for name in (_PREPARED, *kinds, _ASKED):
            for path in self.folder.glob(name):
                path.unlink()

    def _file(self, kind: str, shard: int) -> Path:
        return self.folder / f"{kind}-{shard:06d}.parquet"

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return content if isinstance(content, dict) else None


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    shown = (str(one.get(keys[0]))[:_LONGEST_SHOWN] for one in (before, now))
    return "{} is {} there, {} here".format(keys[0], *shown)
