"""Several domains as one catalogue: their item and user ids moved apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from missrec.data.domain import Domain
from missrec.types import DomainSpan


class MixedDomains(NamedTuple):
    """The interactions of all domains of a run, user after user, domain after domain.

    Attributes:
        num_items: N, over all domains.
        items: (number of interactions,) int32 item ids in 1..N.
        offsets: (number of users + 1,) int64.
        times: (number of interactions,) int64, each domain in its own unit; None if any lacks it.
        spans: the item ids of each domain.
        first_users: (number of domains + 1,) the first user of each domain, then their number.
    """

    num_items: int
    items: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None
    spans: list[DomainSpan]
    first_users: np.ndarray


def mix_domains(domains: Sequence[Domain]) -> MixedDomains:
    """Puts domains side by side; item i of domain d becomes i + the items before d."""
    first_items = np.cumsum([0] + [domain.num_items for domain in domains])
    first_positions = np.cumsum([0] + [len(domain.items) for domain in domains])
    items = np.empty(first_positions[-1], dtype=np.int32)
    for domain, first_item, first in zip(domains, first_items, first_positions, strict=False):
        own = slice(first, first + len(domain.items))
        np.add(domain.items, np.int32(first_item), out=items[own])
    times = [domain.times for domain in domains if domain.times is not None]
    return MixedDomains(
        num_items=int(first_items[-1]),
        items=items,
        offsets=np.concatenate(
            [
                domain.offsets[:-1] + first
                for domain, first in zip(domains, first_positions, strict=False)
            ]
            + [first_positions[-1:]]
        ),
        times=np.concatenate(times) if len(times) == len(domains) else None,
        spans=[
            DomainSpan(domain.name, int(first) + 1, int(first) + domain.num_items)
            for domain, first in zip(domains, first_items, strict=False)
        ],
        first_users=np.cumsum([0] + [domain.num_users for domain in domains]),
    )
