"""What is said of parts with few users, and of items that are the target of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from missrec.data.parts import Part, doubts
from synthetic import prepared_domain, write_domain_folder


def said(folder: Path, targets: list[int], **limits: float) -> list[str]:
    return list(doubts(Part(folder, "test", np.array(targets)), **limits))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domain_folder(tmp_path_factory.mktemp("x") / "shop", prepared_domain(num_items=40))


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([*range(1, 41)] * 5, []),  # 200 users
        ([*range(1, 41)] * 4, ["160 users to test, fewer than 200"]),
        # 11 of 200 are 5.5 %, 10 are 5.0 %
        ([7] * 11 + [*range(8, 35)] * 7, ["for 5.5% of them the target is one item, 'item-7'"]),
        ([7] * 10 + [*range(8, 27)] * 10, []),
        ([1, 1, 2], ["3 users to test, fewer than", "66.7% of them the target is one item"]),
        ([1, 2], ["2 users to test, fewer than"]),  # every item is the target of half, once
    ],
)
def test_few_users_and_frequent_targets_are_said(
    folder: Path, targets: list[int], expected: list[str]
) -> None:
    found = said(folder, targets)
    assert len(found) == len(expected)
    for line, part in zip(found, expected, strict=True):
        assert line.startswith(f"{folder}: ")
        assert part in line


def test_limits_are_settings(folder: Path) -> None:
    assert not said(folder, [1, 1, 2], min_users=3, max_target_share=0.7)
    assert len(said(folder, [*range(1, 41)] * 5, min_users=201, max_target_share=0.02)) == 2
