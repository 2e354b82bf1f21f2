"""The six ways in which data can change under a run, done to a domain folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from missrec.data.domain import PreparedDomain
from missrec.data.splits import GlobalTime, LeaveOneOut, Splitter
from synthetic import NAME, prepared_domain, random_sequences, raw_features, write_domain_folder

BY_TIME = {"val_from": 0.8, "test_from": 0.9}
"""The settings of `conf/split/global_time.yaml`."""


def timed_domain(name: str = NAME, *, num_users: int = 8, num_items: int = 6) -> PreparedDomain:
    """A small domain with features of its texts, and times for every split."""
    sequences = random_sequences(num_users=num_users, num_items=num_items, shortest=4, seed=3)
    times = [10 * place + user for user, own in enumerate(sequences) for place in range(len(own))]
    text = raw_features(num_items=num_items, width=4)
    features = {"text": text, "image": text[:, :3]}
    return prepared_domain(
        sequences, name=name, num_items=num_items, features=features, times=times
    )


def _interaction(prepared: PreparedDomain) -> PreparedDomain:
    items = prepared.items.copy()
    items[0] = items[0] % len(prepared.item_keys) + 1
    return replace(prepared, items=items)


def _item_key(prepared: PreparedDomain) -> PreparedDomain:
    return replace(prepared, item_keys=["another", *prepared.item_keys[1:]])


def _item_order(prepared: PreparedDomain) -> PreparedDomain:
    """The same domain, numbered backwards."""
    return replace(
        prepared,
        items=(len(prepared.item_keys) + 1 - prepared.items).astype(np.int32),
        item_keys=prepared.item_keys[::-1],
        item_texts=prepared.item_texts[::-1],
        features={name: values[::-1] for name, values in prepared.features.items()},
    )


def _features(prepared: PreparedDomain) -> PreparedDomain:
    return replace(prepared, features=prepared.features | {"text": prepared.features["text"] * 2})


def _encoder(prepared: PreparedDomain) -> PreparedDomain:
    return replace(prepared, settings={**prepared.settings, "weights": "another"})


CHANGES: dict[str, tuple[Callable[[PreparedDomain], PreparedDomain], str]] = {
    "interaction": (_interaction, "interactions"),
    "item key": (_item_key, "items"),
    "item order": (_item_order, "interactions, items (the same in another order), text features"),
    "split": (lambda prepared: prepared, "split (LeaveOneOut, GlobalTime)"),
    "features": (_features, "text features"),
    "encoder": (_encoder, "text features (another encoder: weights)"),
}
"""What changes -> how, and what is said of it."""


def splitter_after(change: str) -> Splitter:
    """How the data is split after a change."""
    return GlobalTime(**BY_TIME) if change == "split" else LeaveOneOut()


def prepare_again(folder: Path, change: str | None = None) -> Path:
    """Writes the `timed_domain` of a folder, changed in one of the ways, over what is there."""
    prepared = timed_domain(folder.name)
    return write_domain_folder(folder, prepared if change is None else CHANGES[change][0](prepared))
