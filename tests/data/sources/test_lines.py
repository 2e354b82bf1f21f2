from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.lines import Rejects, stream_lines


def test_lines_are_numbered_from_1_and_unpacked(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_bytes("é\r\n\nlast".encode())
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        assert list(stream_lines(path, remedy="")) == [(1, "é"), (2, ""), (3, "last")]


@pytest.mark.parametrize("damage", ["cut", "flipped", "not packed"])
def test_damaged_packed_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "reviews.json.gz"
    packed = gzip.compress("".join(f"{i}\n" for i in range(9_999)).encode())
    middle = len(packed) // 2
    path.write_bytes(
        {
            "cut": packed[:-9],
            "flipped": packed[:middle] + bytes([packed[middle] ^ 255]) + packed[middle + 1 :],
            "not packed": b"<html>login</html>",
        }[damage]
    )
    with pytest.raises(ValueError, match=r"reviews.json.gz is damaged after line .*; delete"):
        list(stream_lines(path, remedy="delete it"))


def parse(row: str) -> None:
    if not row.isdecimal():
        raise ValueError("is no number")


def test_rejected_rows_are_listed_with_line_reason_and_start(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rejects.csv"
    with Rejects(path=str(path), max_share=0.5) as rejects:
        rows = enumerate(["1", 'a,"b', "3", "x" * 999], start=1)
        assert rejects.collect(Path("in.csv"), rows, parse) == 4
    assert rejects.num_rejected == 2
    listed = pl.read_csv(path).rows()
    assert listed == [
        ("in.csv", 2, "is no number", 'a,"b'),
        ("in.csv", 4, "is no number", "x" * 200),
    ]


def test_nothing_rejected_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    with Rejects(path=str(path), max_share=0) as rejects:
        rejects.collect(Path("in.csv"), enumerate(["1"]), parse)
    assert not path.exists()


def test_more_rejects_than_allowed_stop_and_stay_listed(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    with (
        pytest.raises(ValueError, match=r"in.csv: 2 of 3 rows .* 50.00% .*rejects.csv lists them"),
        Rejects(path=str(path), max_share=0.5) as rejects,
    ):
        rejects.collect(Path("in.csv"), enumerate(["1", "b", "c"]), parse)
    assert len(pl.read_csv(path)) == 2


def test_the_share_is_of_one_file(tmp_path: Path) -> None:
    with Rejects(path=str(tmp_path / "rejects.csv"), max_share=0.5) as rejects:
        rejects.collect(Path("in.csv"), enumerate(["b", "2"]), parse)
        rejects.collect(Path("items.csv"), enumerate(["b", "2"]), parse)
    assert rejects.num_rejected == 2


@pytest.mark.parametrize("share", [2, -0.1, float("nan"), None, "1", True, [0.1]])
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(ValueError, match=r"max_share \(.*\) must be a number in \[0, 1\]"):
        Rejects(path="x", max_share=share)
