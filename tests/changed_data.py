"""The six ways in which data can change under a run, done to a domain folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from missrec.data.domain import PreparedDomain
from missrec.data.splits import LeaveOneOut, Split, Splitter
from synthetic import prepared_domain, write_domain_folder


class OneEarlier:
    """Leave-one-out, with targets that lie one position earlier."""

    needs_times = False

    def __call__(
        self, *, offsets: np.ndarray, times: np.ndarray | None, first_users: np.ndarray
    ) -> Split:
        """See `Splitter`."""
        split = LeaveOneOut()(offsets=offsets, times=times, first_users=first_users)
        return split._replace(val=split.val - 1, test=split.test - 1)


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
    "split": (lambda prepared: prepared, "split (LeaveOneOut, OneEarlier)"),
    "features": (_features, "text features"),
    "encoder": (_encoder, "text features (another encoder: weights)"),
}
"""What changes -> how, and what is said of it."""


def splitter_after(change: str) -> Splitter:
    """How the data is split after a change."""
    return OneEarlier() if change == "split" else LeaveOneOut()


def prepare_again(folder: Path, change: str | None, prepared: PreparedDomain | None = None) -> Path:
    """Writes a domain folder, changed in one of the ways, in place of what is there."""
    prepared = prepared or prepared_domain()
    if folder.exists():
        shutil.rmtree(folder)
    changed = prepared if change is None else CHANGES[change][0](prepared)
    return write_domain_folder(folder, changed)
