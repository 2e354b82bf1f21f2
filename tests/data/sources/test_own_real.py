"""Real files read as own data: the counts are those of a plain count beside it."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra import compose, initialize_config_dir

from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.lines import Rejects
from missrec.data.sources.own import OwnDomain
from missrec.data.sources.own_interactions import OwnInteractions
from missrec.data.sources.own_items import OwnItems
from synthetic import SHARED_DATA, sequences_of

ROOT = Path(__file__).parents[3]
MIN_INTERACTIONS = 3


class RealShop(NamedTuple):
    """Files, and what their columns are called.

    Attributes:
        interactions: the file below shared/data.
        items: likewise.
        columns: of a user, an item, and the time or the order.
        is_timed: whether the last one is a time.
        item: column of an item's id in its own file.
        texts: columns of its text.
    """

    interactions: str
    items: str
    columns: tuple[str, str, str]
    is_timed: bool
    item: str
    texts: list[str]


def amazon_2014(name: str) -> RealShop:
    files = [f"amazon2014/{name}_{kind}.gz" for kind in ("interactions.csv", "items.jsonl")]
    return RealShop(*files, ("user", "item", "position"), False, "item", ["title", "keywords"])


def amazon_2018(name: str) -> RealShop:
    files = [f"amazon2018_raw/{file}.json.gz" for file in (f"{name}_5", f"meta_{name}")]
    columns = ("reviewerID", "asin", "unixReviewTime")
    return RealShop(*files, columns, True, "asin", ["title", "category", "brand"])


SHOPS = {
    "toys": amazon_2014("toys"),
    "sports": amazon_2014("sports"),
    "office": RealShop(
        "own_csv_office/clicks.csv",
        "own_csv_office/products.jsonl",
        ("customer", "product", "position"),
        False,
        "product",
        ["title", "brand", "description"],
    ),
    "gift cards": amazon_2018("Gift_Cards"),
    "magazines": amazon_2018("Magazine_Subscriptions"),
}
PUBLISHED = {
    "toys": (19_412, 11_924, 167_597),
    "sports": (35_598, 18_357, 296_337),
    "office": (3_231, 3_459, 21_802),
}


@pytest.mark.parametrize(
    ("choice", "name"),
    [("toys", "toys"), ("sports", "sports"), ("amazon2014 data.set=beauty", "beauty")],
)
def test_the_choice_of_data_reads_these_columns(
    choice: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        data = compose(
            "prepare", overrides=[*f"data={choice}".split(), "paths.shared_dir=shared"]
        ).data
    interactions, items = data.interactions, data["items"]
    chosen = RealShop(
        interactions.path.removeprefix("shared/data/"),
        items.path.removeprefix("shared/data/"),
        (interactions.user, interactions.item, interactions.order),
        interactions.time is not None,
        items.item,
        list(items.texts),
    )
    assert chosen == amazon_2014(name)
    assert (data.folders[0].rpartition("/")[2], data.choice) == (name, choice)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file by Python's own modules alone."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        yield from csv.DictReader(stream) if ".csv" in path.suffixes else map(json.loads, stream)


def counted(shop: RealShop) -> tuple[set[str], dict[str, list[str]]]:
    """The items, and the sequence of each user, counted plainly."""
    items = {str(row[shop.item]) for row in rows(SHARED_DATA / shop.items)}
    taken: dict[str, list[tuple[int, str]]] = {}
    for row in rows(SHARED_DATA / shop.interactions):
        user, item, place = (str(row[column]) for column in shop.columns)
        event = (int(place), item)
        own = taken.setdefault(user, [])
        if item in items and event not in own:
            own.append(event)
    sequences = {
        user: [item for _, item in sorted(own, key=lambda event: event[0])]
        for user, own in taken.items()
        if len(own) >= MIN_INTERACTIONS
    }
    return items, sequences


@pytest.mark.parametrize("name", SHOPS)
def test_real_files_have_the_users_items_and_orders_of_a_plain_count(
    tmp_path: Path, name: str
) -> None:
    shop = SHOPS[name]
    if not (SHARED_DATA / shop.interactions).is_file():
        pytest.skip(f"{shop.interactions} is not in shared/data beside the project")
    user, item, place = shop.columns
    prepared = OwnDomain(
        name=name,
        interactions=OwnInteractions(
            path=str(SHARED_DATA / shop.interactions),
            user=user,
            item=item,
            time=place if shop.is_timed else None,
            order=None if shop.is_timed else place,
            time_scale=1,
        ),
        items=OwnItems(
            path=str(SHARED_DATA / shop.items), item=shop.item, texts=shop.texts, images=[]
        ),
        interaction_filter=InteractionFilter(
            keep_repeats=True,
            min_user_interactions=MIN_INTERACTIONS,
            min_item_interactions=1,
            keep_unseen_items=True,
        ),
        rejects=Rejects(path=str(tmp_path / "rejects.csv"), max_share=0),
    ).read()
    keys = ["", *prepared.item_keys]
    found = {
        user: [keys[item] for item in sequence]
        for user, sequence in zip(prepared.user_keys, sequences_of(prepared), strict=True)
    }
    items, expected = counted(shop)
    assert found == expected
    assert len(set(prepared.item_keys)) == len(prepared.item_keys)
    assert set(prepared.item_keys) == items
    if name in PUBLISHED:
        num_interactions = sum(map(len, found.values()))
        assert (len(found), len(prepared.item_keys), num_interactions) == PUBLISHED[name]
