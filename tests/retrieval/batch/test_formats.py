"""Shards joined into one file of any format, always the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest

from missrec.retrieval.batch.formats import check_format, join_tables

KEYS = ["plain", "a,b", 'say "x"', "two\nlines", " blank", "ünï", "007", "=1+1"]
NAMES = ["r.parquet", "r.csv", "r.jsonl", "r.ndjson", "r.csv.gz", "r.jsonl.gz", "R.CSV"]


def shards(folder: Path) -> list[Path]:
    table = pl.DataFrame(
        {"user": KEYS, "rank": pl.Series(range(1, 9), dtype=pl.Int32), "score": [0.1 + 0.2] * 8}
    )
    paths = [folder / f"{number}.parquet" for number in range(3)]
    for path, part in zip(paths, [table[:5], table[:0], table[5:]], strict=True):
        part.write_parquet(path)
    return paths


def read(path: Path) -> pl.DataFrame:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return pl.read_parquet(path)
    if ".csv" in name:  # as another program reads it
        content = path.read_bytes()
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
        header, *rows = csv.reader(io.StringIO(text, newline=""))
        typed = [(key, int(rank), float(score)) for key, rank, score in rows]
        return pl.DataFrame(typed, schema=header, orient="row")
    return pl.read_ndjson(path, schema_overrides={"rank": pl.Int32})


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_back_the_rows_to_the_last_bit(tmp_path: Path, name: str) -> None:
    paths = shards(tmp_path)
    join_tables(tmp_path / name, paths)
    assert read(tmp_path / name).rows() == pl.concat(map(pl.read_parquet, paths)).rows()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_shards_make_the_same_bytes(tmp_path: Path, name: str) -> None:
    paths = shards(tmp_path)
    (tmp_path / "b").mkdir()
    for place in (tmp_path / name, tmp_path / "b" / name):
        join_tables(place, paths)
    assert (tmp_path / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.jsonl"])
def test_without_rows_there_is_a_file_all_the_same(tmp_path: Path, name: str) -> None:
    empty = shards(tmp_path)[1:2]
    join_tables(tmp_path / name, empty)
    if name != "r.jsonl":
        assert read(tmp_path / name).columns == ["user", "rank", "score"]
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recs", "cannot write a file without a suffix"),
        ("recs.xlsx", "cannot write .xlsx"),
        ("recs.parquet.gz", "cannot write .parquet.gz"),
        ("recs.gz", "cannot write .gz"),
        ("recs.csv.zip", "cannot write .csv.zip"),
        ("v1.2/recs", "cannot write a file without a suffix"),
    ],
)
def test_other_formats_are_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_format(Path(name))
