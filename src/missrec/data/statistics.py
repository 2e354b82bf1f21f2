"""Statistics of a domain in the columns of the paper's Table 1, and what its times say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from missrec.data.domain import PreparedDomain
from missrec.data.splits import LeaveOneOut, seen_in_training


class DomainStatistics(NamedTuple):
    """One row of Table 1, and what the times say of the order and of leave-one-out.

    Attributes:
        name: name of the domain.
        num_users: number of users.
        num_items: number of items, interacted with or not.
        num_with: modality -> items that have it; Table 1 prints the image's as #Img. (Cover.%).
        num_interactions: number of interactions.
        mean_length: interactions per user, Avg. SL.
        tie_share: see `tie_share`; None without times.
        leak_rate: see `leak_rate`; None without times.
        published: users, items and interactions of the published set, any of them.
    """

    name: str
    num_users: int
    num_items: int
    num_with: dict[str, int]
    num_interactions: int
    mean_length: float
    tie_share: float | None
    leak_rate: float | None
    published: Mapping[str, int]


def domain_statistics(prepared: PreparedDomain) -> DomainStatistics:
    """Table 1's row of a domain."""
    num_users, num_interactions = len(prepared.user_keys), len(prepared.items)
    times, offsets = prepared.times, prepared.offsets
    return DomainStatistics(
        name=prepared.name,
        num_users=num_users,
        num_items=len(prepared.item_keys),
        num_with={
            modality: int(np.count_nonzero(features.any(axis=1)))
            for modality, features in prepared.features.items()
        },
        num_interactions=num_interactions,
        mean_length=num_interactions / max(1, num_users),
        tie_share=None if times is None else tie_share(offsets=offsets, times=times),
        leak_rate=None if times is None else leak_rate(offsets=offsets, times=times),
        published=prepared.published,
    )


def tie_share(*, offsets: np.ndarray, times: np.ndarray) -> float:
    """Share of the steps from one interaction of a user to its next that take no time.

    The order within such a step is that of the file, not of time.
    """
    follows = np.ones(len(times), dtype=bool)
    follows[offsets[:-1]] = False
    equal = np.diff(times, prepend=times[:1]) == 0
    return int(np.count_nonzero(equal & follows)) / max(1, int(np.count_nonzero(follows)))


def leak_rate(*, offsets: np.ndarray, times: np.ndarray) -> float:
    """How much of what leave-one-out trains on lies in the future of what it tests.

    The share of the training interactions, of all users, that are later than the test interaction
    of a user, averaged over the users. A split by time has 0.

    **Source**: the leak itself is described by Ji et al., "A Critical Study on Data Leakage in
    Recommender System Offline Evaluation", TOIS 2023; this number for it is ours.
    """
    first_users = np.array([0, len(offsets) - 1])
    split = LeaveOneOut()(offsets=offsets, times=times, first_users=first_users)
    trained: np.ndarray = np.sort(times[seen_in_training(offsets, split.train_ends)])
    until = np.searchsorted(trained, times[split.test], side="right")
    later = len(trained) - float(np.mean(until))
    return later / len(trained)
