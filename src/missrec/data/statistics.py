"""Statistics of a domain in the columns of the paper's Table 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from missrec.data.domain import PreparedDomain


class DomainStatistics(NamedTuple):
    """One row of Table 1.

    Attributes:
        name: name of the domain.
        num_users: number of users.
        num_items: number of items, interacted with or not.
        num_with: modality -> items that have it; Table 1 prints the image's as #Img. (Cover.%).
        num_interactions: number of interactions.
        mean_length: interactions per user, Avg. SL.
    """

    name: str
    num_users: int
    num_items: int
    num_with: dict[str, int]
    num_interactions: int
    mean_length: float


def domain_statistics(prepared: PreparedDomain) -> DomainStatistics:
    """Table 1's row of a domain."""
    num_interactions = sum(map(len, prepared.sequences))
    return DomainStatistics(
        name=prepared.name,
        num_users=len(prepared.sequences),
        num_items=len(prepared.item_keys),
        num_with={
            modality: int(np.count_nonzero(features.any(axis=1)))
            for modality, features in prepared.features.items()
        },
        num_interactions=num_interactions,
        mean_length=num_interactions / max(1, len(prepared.sequences)),
    )
