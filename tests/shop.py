"""A shop's own files, small enough to check by hand, and how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.lines import Rejects
from missrec.data.sources.own import OwnDomain
from missrec.data.sources.own_interactions import OwnInteractions
from missrec.data.sources.own_items import OwnItems
from synthetic import sequences_of

Orders = dict[str, list[str]]

PRODUCTS = [
    {"sku": 1, "name": "Pen", "about": "<b>blue</b>", "photo": "http://1"},
    {"sku": 2, "name": "Ink", "about": None, "photo": None},
    {"sku": 3, "name": "Pad", "about": "A5", "photo": ["http://3a", "http://3b"]},
    {"sku": 4, "name": "Unsold", "about": "", "photo": None},
]
CLICKS = "who,what,when\nann,1,3\nann,2,1\nann,3,2\nbob,1,1\nbob,1,2\nbob,2,2\n"
"""By time: ann took 2 3 1, bob 1 1 2, the last two at the same time."""


FIRST = 1_569_888_000
"""2019-10-01, in seconds."""


class Shop:
    """A folder with a shop's files, and how to read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("products.jsonl", "".join(f"{json.dumps(row)}\n" for row in PRODUCTS))
        self.write("clicks.csv", CLICKS)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def read(
        self,
        interactions: str | list[str] = "clicks.csv",
        items: str | None = "products.jsonl",
        *,
        max_share: float = 0,
        of_items: dict[str, Any] | None = None,
        filtering: dict[str, Any] | None = None,
        **of_interactions: Any,
    ) -> PreparedDomain:
        """The domain, with other settings than the shop's own ones."""
        named = [interactions] if isinstance(interactions, str) else interactions
        columns = {"user": "who", "item": "what", "time": "when", "order": None, "time_scale": 1}
        own_items = {"item": "sku", "texts": ["name", "about"], "images": ["photo"]}
        kept = {"keep_repeats": True, "min_user_interactions": 3, "min_item_interactions": 1}
        return OwnDomain(
            name="shop",
            interactions=OwnInteractions(
                path=[str(self.folder / name) for name in named],
                **{**columns, **of_interactions},
            ),
            items=OwnItems(
                path=items and str(self.folder / items), **{**own_items, **(of_items or {})}
            ),
            interaction_filter=InteractionFilter(
                **{**kept, "keep_unseen_items": True, **(filtering or {})}
            ),
            rejects=Rejects(path=str(self.folder / "rejects.csv"), max_share=max_share),
        ).read()

    def read_clicks(self, content: str | bytes, name: str = "b.csv", **changes: Any) -> Orders:
        """Who took what in which order, of a file with this content."""
        self.write(name, content)
        return sequences(self.read(name, **changes))

    def rejects(self) -> list[tuple[Any, ...]]:
        return pl.read_csv(self.folder / "rejects.csv").rows()


def clicks(*times: object) -> str:
    """One user, who takes 1, 2, 3 at these times, with a comma for a delimiter."""
    return "who,what,when\n" + "".join(
        f"a,{item},{time}\n" for item, time in enumerate(times, start=1)
    )


def sequences(prepared: PreparedDomain) -> Orders:
    keys = ["", *prepared.item_keys]
    return {
        user: [keys[item] for item in items]
        for user, items in zip(prepared.user_keys, sequences_of(prepared), strict=True)
    }


BY_TIME = {"ann": ["2", "3", "1"], "bob": ["1", "1", "2"]}
