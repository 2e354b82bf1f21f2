"""The users that a split leaves to validate and to test on, and what to doubt of their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from missrec.data.domain import read_items
from missrec.data.mixing import MixedDomains
from missrec.data.splits import Split, SplitError

MIN_USERS, MAX_TARGET_SHARE = 200, 0.05
"""Below and above these, figures are doubted."""

PURPOSES = {"val": "validate", "test": "test"}
"""Part of a split -> what its users are for."""


class Part(NamedTuple):
    """The users of one domain that one part of a split ranks for.

    Attributes:
        folder: of the domain.
        name: `val` or `test`.
        target_ids: (U,) item ids of the domain, in 1..N.
    """

    folder: Path
    name: str
    target_ids: np.ndarray


def parts_of(
    mixed: MixedDomains, folders: Sequence[Path], split: Split, *, names: Sequence[str]
) -> Iterator[Part]:
    """The parts of each domain.

    Raises:
        SplitError: one is empty.
    """
    first_positions = mixed.offsets[mixed.first_users]
    for name in names:
        targets = getattr(split, name)
        bounds = pairwise(np.searchsorted(targets, first_positions).tolist())
        for folder, span, (first, last) in zip(folders, mixed.spans, bounds, strict=True):
            if first == last:
                raise SplitError(f"{folder}: the split leaves no user to {PURPOSES[name]}")
            yield Part(folder, name, mixed.items[targets[first:last]] - (span.first_item - 1))


def doubts(
    part: Part, *, min_users: int = MIN_USERS, max_target_share: float = MAX_TARGET_SHARE
) -> Iterator[str]:
    """What to doubt of the figures of a part, a line each.

    Args:
        part: of a split.
        min_users: with fewer, one user more or less shows in the figures.
        max_target_share: of the users that may have one and the same item as their target.
    """
    num_users = len(part.target_ids)
    where = f"{part.folder}: {num_users:,} users to {PURPOSES[part.name]}"
    if num_users < min_users:
        yield f"{where}, fewer than {min_users}: figures vary by chance, compare over seeds"
    counts = np.bincount(part.target_ids)
    most_common = int(counts.argmax())
    share = int(counts[most_common]) / num_users
    if share > max_target_share and counts[most_common] > 1:
        key = read_items(part.folder)["item_key"][most_common - 1]
        yield (
            f"{where}, and for {share:.1%} of them the target is one item, {key!r}: who always "
            "ranks it first looks good"
        )
