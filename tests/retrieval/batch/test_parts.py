"""Parts of an output: whose they are, and what a kill leaves of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from faults import Killed, file_operations
from missrec.retrieval.batch.parts import OtherPartsError, Parts
from missrec.retrieval.batch.requests import Requests

REQUESTS = [Requests(["u", "v"], [["a"], []]), Requests(["w"], [["b", "a"]])]
ANSWER = pl.DataFrame({"user": ["u"], "item": ["b"]})


def prepare(output: Path, *, k: int = 5, overwrite: bool = False) -> Parts:
    parts = Parts(output)
    parts.begin({"k": k, "files": ("x", "y")}, overwrite=overwrite)
    if parts.prepared is None:
        for shard, requests in enumerate(REQUESTS):
            parts.write_requests(shard, requests)
        parts.finish_requests({"num_shards": 2})
    return parts


def test_requests_are_read_as_they_were_written(tmp_path: Path) -> None:
    parts = prepare(tmp_path / "recs.csv")
    assert [parts.read_requests(shard) for shard in (0, 1)] == REQUESTS


def test_the_same_request_finds_what_is_done(tmp_path: Path) -> None:
    prepare(tmp_path / "recs.csv").write_answers(1, ANSWER)
    assert prepare(tmp_path / "recs.csv").missing(2) == [0]


def test_another_request_is_refused_once_something_is_done(tmp_path: Path) -> None:
    prepare(tmp_path / "recs.csv")
    assert prepare(tmp_path / "recs.csv", k=6).missing(2) == [0, 1]
    prepare(tmp_path / "recs.csv", k=6).write_answers(0, ANSWER)
    with pytest.raises(OtherPartsError, match="parts of another output: k is 6 there, 5 here"):
        prepare(tmp_path / "recs.csv")
    assert prepare(tmp_path / "recs.csv", k=6).missing(2) == [1]
    assert prepare(tmp_path / "recs.csv", overwrite=True).missing(2) == [0, 1]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "recs.csv")
    parts.folder.mkdir()
    (parts.folder / "part-0.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"part-0.csv is no part of an output; move it away"):
        parts.begin({}, overwrite=True)
    assert (parts.folder / "part-0.csv").read_text() == "mine"


def test_killed_anywhere_and_repeated_it_is_the_same(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, bytes]:
        parts = prepare(folder / "recs.csv")
        for shard in parts.missing(2):
            parts.write_answers(shard, ANSWER)
        found = {path.name: path.read_bytes() for path in parts.folder.iterdir()}
        parts.remove()
        assert not parts.folder.exists()
        return found

    with file_operations(tmp_path) as counted:
        expected = work(tmp_path)
    assert counted.count > 20
    for place in range(counted.count):
        for torn in (False, True):
            with (
                pytest.raises(Killed),
                file_operations(tmp_path, kill_at=place, torn=torn),
            ):
                work(tmp_path)
            assert work(tmp_path) == expected
