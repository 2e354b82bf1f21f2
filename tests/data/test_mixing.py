from __future__ import annotations

import numpy as np

from missrec.data.domain import Domain
from missrec.data.mixing import mix_domains
from missrec.types import DomainSpan

OFFICE = Domain(
    name="office",
    num_items=5,
    items=np.array([1, 2, 3, 4, 3, 1], dtype=np.int32),
    offsets=np.array([0, 3, 6]),
    times=np.array([5, 6, 7, 1, 1, 9]),
)
ARTS = Domain(
    name="arts",
    num_items=3,
    items=np.array([3, 1, 2, 3], dtype=np.int32),
    offsets=np.array([0, 4]),
    times=None,
)


def test_items_and_users_of_the_second_domain_come_after_the_first() -> None:
    mixed = mix_domains([OFFICE, ARTS])
    assert mixed.num_items == 5 + 3
    assert mixed.items.tolist() == [1, 2, 3, 4, 3, 1, 5 + 3, 5 + 1, 5 + 2, 5 + 3]
    assert mixed.offsets.tolist() == [0, 3, 6, 6 + 4]
    assert mixed.spans == [DomainSpan("office", 1, 5), DomainSpan("arts", 6, 8)]
    assert mixed.first_users.tolist() == [0, 2, 3]
    assert mixed.items.dtype == np.int32  # 14 million interactions must stay small


def test_one_domain_stays_as_it_is() -> None:
    mixed = mix_domains([OFFICE])
    assert mixed.items.tolist() == OFFICE.items.tolist()
    assert mixed.offsets.tolist() == OFFICE.offsets.tolist()
    assert mixed.spans == [DomainSpan("office", 1, 5)]
    assert mixed.times is not None
    assert mixed.times.tolist() == [5, 6, 7, 1, 1, 9]


def test_times_are_known_only_where_every_domain_has_them() -> None:
    assert mix_domains([OFFICE, ARTS]).times is None
