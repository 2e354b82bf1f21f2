"""What a run knows of its items by their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.identity import digest_of_texts
from missrec.runs.folder import RunFolder
from missrec.runs.identity import other_encoders, other_items
from missrec.runs.items import UnknownItemsError, record_items, recorded_items

KEYS = {"shop": pl.Series(["b", "a"]), "café": pl.Series(["a", "ü", "7"])}
OTHER = {"shop": pl.Series(["a", "b"]), "café": pl.Series(["a"])}


def identity(keys: dict[str, pl.Series], **encoder: Any) -> dict[str, Any]:
    features = {"text": {"values": "", "encoder": encoder}} if encoder else {}
    return {
        name: {"items": digest_of_texts(own), "features": features} for name, own in keys.items()
    }


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def as_lists(keys: dict[str, pl.Series]) -> dict[str, list[str]]:
    return {name: own.to_list() for name, own in keys.items()}


def test_what_was_recorded_comes_back_in_order(run: RunFolder) -> None:
    record_items(run, KEYS)
    for recorded in (identity(KEYS), None):
        found = recorded_items(run, recorded, today=OTHER)
        assert as_lists(found) == as_lists(KEYS)
        assert list(found) == list(KEYS)


def test_a_run_of_before_has_the_items_at_hand_while_they_are_the_same(run: RunFolder) -> None:
    assert as_lists(recorded_items(run, identity(KEYS), today=KEYS)) == as_lists(KEYS)
    with pytest.raises(UnknownItemsError, match="items of shop are no longer those"):
        recorded_items(run, identity(KEYS), today=OTHER)
    with pytest.raises(UnknownItemsError, match="does not know which items"):
        recorded_items(run, None, today=KEYS)


def test_a_file_of_other_items_is_refused(run: RunFolder) -> None:
    record_items(run, OTHER)
    with pytest.raises(UnknownItemsError, match=r"items\.parquet is not of the data"):
        recorded_items(run, identity(KEYS), today=KEYS)
    # But for a run that was killed while it was brought to the items of today.
    assert as_lists(recorded_items(run, identity(KEYS), today=OTHER)) == as_lists(OTHER)
    run.items.write_bytes(b"PAR1")
    with pytest.raises(UnknownItemsError, match="cannot be read"):
        recorded_items(run, identity(KEYS), today=OTHER)


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"encoder": "lsa", "dim": 4}, {"encoder": "lsa", "dim": 4}, []),
        ({"encoder": "lsa", "dim": 4}, {"encoder": "lsa", "dim": 8}, ["new: text (dim)"]),
        ({"encoder": "lsa"}, {"encoder": "lsa", "dim": None}, ["new: text (dim)"]),
    ],
)
def test_encoders_are_compared_also_of_a_domain_of_another_name(
    there: dict[str, Any], here: dict[str, Any], said: list[str]
) -> None:
    recorded, found = (
        identity({"old": KEYS["shop"]}, **there),
        identity({"new": KEYS["shop"]}, **here),
    )
    assert other_encoders(recorded, found) == said
    assert other_items(recorded, found)
    assert not other_items(recorded, identity({"old": KEYS["shop"]}))
    assert other_items(recorded, identity({"old": OTHER["shop"]}))
