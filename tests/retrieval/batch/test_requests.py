"""Requests in shards, and the keys that nobody knows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from missrec.retrieval.batch.requests import KnownKeys, RequestCutter, Requests, UnknownKeys


def cut(
    *requests: tuple[str, list[str]], shard_size: int = 2, limit: int | None = None
) -> tuple[list[Requests], UnknownKeys]:
    found: list[Requests] = []
    unknown = UnknownKeys()
    cutter = RequestCutter(
        found.insert,
        items=KnownKeys(pl.Series(["a", "b", "7"])),
        unknown=unknown,
        what="user",
        shard_size=shard_size,
        limit=limit,
    )
    for key, history in requests:
        cutter.add(key, history)
    cutter.finish()
    assert cutter.num_shards == len(found)
    assert cutter.num_requests == sum(len(one.keys) for one in found)
    return found, unknown


def test_shards_have_a_fixed_size_and_the_last_what_is_left() -> None:
    found, _ = cut(("u", ["a"]), ("v", ["b", "a"]), ("w", ["b"]))
    assert found == [Requests(["u", "v"], [["a"], ["b", "a"]]), Requests(["w"], [["b"]])]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_nothing_is_one_shard_without_requests(size: int) -> None:
    assert cut(shard_size=size)[0] == [Requests([], [])]


def test_no_more_are_taken_than_the_limit() -> None:
    assert cut(("u", ["a"]), ("v", ["a"]), limit=1)[0] == [Requests(["u"], [["a"]])]


def test_unknown_items_are_left_out_and_counted(tmp_path: Path) -> None:
    found, unknown = cut(("u", ["x", "a", "x"]), ("v", ["y"]), ("w", []))
    assert found[0].histories == [["a"], []]
    assert unknown.summary() == {"item": (2, "x"), "user with no known item": (2, "v")}
    unknown.write(tmp_path / "unknown.csv")
    assert (tmp_path / "unknown.csv").read_text().splitlines() == [
        "what,key,times",
        "item,x,2",
        "item,y,1",
        "user with no known item,v,1",
        "user with no known item,w,1",
    ]


def test_a_list_without_unknown_keys_takes_the_old_one_away(tmp_path: Path) -> None:
    place = tmp_path / "unknown.csv"
    place.write_text("old")
    UnknownKeys().write(place)
    assert not place.exists()


def test_keys_with_commas_quotes_and_breaks_are_quoted_in_the_list(tmp_path: Path) -> None:
    unknown = UnknownKeys()
    for key in ('a,"b"', "c\nd"):
        unknown.note("item", key)
    unknown.write(tmp_path / "unknown.csv")
    assert pl.read_csv(tmp_path / "unknown.csv")["key"].to_list() == ['a,"b"', "c\nd"]


def test_a_whole_number_with_decimals_is_the_key_without() -> None:
    found, unknown = cut(("u", ["7.0", "7"]))
    assert found[0].histories == [["7", "7"]]
    assert not unknown.summary()
    assert KnownKeys(pl.Series(["7.0"])).spelled(["7"]) == {"7": "7.0"}
    assert KnownKeys(pl.Series(["7.0", "7"])).spelled(["7", "7.0"]) == {"7": "7", "7.0": "7.0"}


def test_shards_are_refused_below_one_request() -> None:
    with pytest.raises(ValueError, match=r"shard_size \(0\) must be at least 1"):
        cut(shard_size=0)
