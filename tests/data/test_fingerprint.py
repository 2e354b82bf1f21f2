from __future__ import annotations

from dataclasses import replace

import numpy as np

from missrec.data.domain import PreparedDomain
from missrec.data.fingerprint import Fingerprint, fingerprint
from missrec.data.splits import ByUsers, GlobalTime, LeaveOneOut
from synthetic import SEQUENCES, prepared_domain

TIMES = [1, 2, 3, 4, 5, 1, 2, 3, 3, 4, 6, 7, 1, 2, 5, 7, 8, 9]
SPLITTERS = {
    "leave_one_out": LeaveOneOut(),
    "global_time": GlobalTime(val_from=0.5, test_from=0.8),
    "users": ByUsers(val=0.25, test=0.25, seed=0),
}


def prepared(sequences: list[list[int]] = SEQUENCES, **changes: object) -> PreparedDomain:
    return replace(prepared_domain(sequences, times=TIMES), **changes)  # type: ignore[arg-type]


def hashes(domain: PreparedDomain) -> Fingerprint:
    return fingerprint(domain, SPLITTERS)


def test_another_numbering_is_the_same_domain() -> None:
    one = prepared()
    # The users in reverse, item i as 7 - i.
    users = [3, 2, 1, 0]
    items, times = (np.split(column, one.offsets[1:-1]) for column in (one.items, one.times))
    other = replace(
        one,
        items=7 - np.concatenate([items[user] for user in users]),
        times=np.concatenate([times[user] for user in users]),
        offsets=np.cumsum([0, *(len(items[user]) for user in users)]),
        user_keys=[one.user_keys[user] for user in users],
        item_keys=one.item_keys[::-1],
    )
    assert hashes(other) == hashes(one)


def test_another_order_is_another_split_of_the_same_interactions() -> None:
    swapped = [[2, 1, 3, 4, 5], *SEQUENCES[1:]]
    one, other = hashes(prepared()), hashes(prepared(swapped))
    assert one.interactions == other.interactions
    assert one.splits["leave_one_out"] != other.splits["leave_one_out"]


def test_another_item_user_or_key_is_another_domain() -> None:
    one = prepared()
    others = [
        prepared([[6, 2, 3, 4, 5], *SEQUENCES[1:]]),
        replace(one, user_keys=["someone", *one.user_keys[1:]]),
        replace(one, item_keys=["something", *one.item_keys[1:]]),
        # The same pairs of another catalogue.
        replace(one, item_keys=[*one.item_keys, "unseen"]),
    ]
    assert len({hashes(domain).interactions for domain in [one, *others]}) == 5
    assert len({hashes(domain).splits["leave_one_out"] for domain in [one, *others]}) == 5


def test_boundaries_move_only_the_split_by_time() -> None:
    later = fingerprint(
        prepared(), {**SPLITTERS, "global_time": GlobalTime(val_from=0.7, test_from=0.8)}
    )
    one = hashes(prepared())
    assert later.splits["global_time"] != one.splits["global_time"]
    assert later.splits["leave_one_out"] == one.splits["leave_one_out"]


def test_split_by_time_is_left_out_without_times() -> None:
    assert list(hashes(prepared(times=None)).splits) == ["leave_one_out", "users"]
