"""Ranking in tiles equals ranking over the whole users x items matrix."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.training import ranking
from missrec.training.ranking import DomainRanking
from missrec.types import DomainSpan, SequenceBatch, TrainingLoss
from synthetic import sequence_batch

SPAN = DomainSpan("second", first_item=4, last_item=23)
NUM_ITEMS = 25


class WholeScores:
    """Scores of whole numbers, exact in any order of summation and often tied."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.vectors = torch.randint(-2, 3, (NUM_ITEMS + 1, 3), generator=generator).float()
        self.blocks: list[int] = []

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        raise NotImplementedError

    def encode(self, batch: SequenceBatch) -> Tensor:
        return self.vectors[batch.item_ids].sum(dim=1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        self.blocks.append(len(item_ids))
        return self.vectors[item_ids]

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded @ candidates.T


def batches() -> list[SequenceBatch]:
    """17 users in batches of unequal size and length; some histories repeat the target."""
    generator = torch.Generator().manual_seed(1)
    found, first_user = [], 0
    for size, length in ((5, 3), (1, 6), (11, 4)):
        histories = torch.randint(4, 24, (size, length), generator=generator).tolist()
        targets = torch.randint(4, 24, (size,), generator=generator).tolist()
        histories[0][0] = targets[0]
        batch = sequence_batch(histories, targets)
        found.append(batch._replace(user_ids=torch.arange(first_user, first_user + size)))
        first_user += size
    return found


def whole_matrix(*, filter_seen: bool) -> dict[int, tuple[int, int, int]]:
    """User -> target, items above it, others tied with it; by a loop over items."""
    model, found = WholeScores(), {}
    for batch in batches():
        rows = zip(*(column.tolist() for column in batch), model.encode(batch), strict=True)
        for user, history, target, encoded in rows:
            scores = {
                item: float(encoded @ model.vectors[item])
                for item in range(SPAN.first_item, SPAN.last_item + 1)
                if item == target or not (filter_seen and item in history)
            }
            above = sum(score > scores[target] for score in scores.values())
            tied = sum(score == scores[target] for score in scores.values()) - 1
            found[user] = (target, above, tied)
    return found


@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize(
    ("users_per_tile", "items_per_tile"), [(100, 100), (4, 7), (1, 1), (3, 20)]
)
@pytest.mark.parametrize(
    "limit",
    [("_USERS_AT_ONCE", 1), ("_USERS_AT_ONCE", 6), ("_USERS_AT_ONCE", 100), ("_BYTES_AT_ONCE", 1)],
)
def test_tiles_equal_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch,
    filter_seen: bool,
    users_per_tile: int,
    items_per_tile: int,
    limit: tuple[str, int],
) -> None:
    monkeypatch.setattr(ranking, *limit)
    domain = DomainRanking(
        WholeScores(),
        SPAN,
        users_per_tile=users_per_tile,
        items_per_tile=items_per_tile,
        filter_seen=filter_seen,
        device=torch.device("cpu"),
    )
    for batch in batches():
        domain.add(batch)
    rows = [
        row for users in domain.finish() for row in zip(*map(Tensor.tolist, users), strict=True)
    ]
    assert {user: tuple(counts) for user, *counts in rows} == whole_matrix(filter_seen=filter_seen)
    assert len(rows) == 17


def domain_of(model: WholeScores, *, items_per_tile: int) -> DomainRanking:
    return DomainRanking(
        model,
        SPAN,
        users_per_tile=4,
        items_per_tile=items_per_tile,
        filter_seen=False,
        device=torch.device("cpu"),
    )


def test_a_catalogue_of_one_block_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_USERS_AT_ONCE", 1)
    model = WholeScores()
    domain = domain_of(model, items_per_tile=20)
    for batch in batches():
        domain.add(batch)
    domain.finish()
    assert model.blocks == [20]


@pytest.mark.parametrize(("at_once", "num_passes"), [(2**20, 1), (61, 2), (1, 3)])
def test_no_more_bytes_of_users_wait_than_may(
    monkeypatch: pytest.MonkeyPatch, at_once: int, num_passes: int
) -> None:
    monkeypatch.setattr(ranking, "_BYTES_AT_ONCE", at_once)
    model = WholeScores()
    domain = domain_of(model, items_per_tile=19)  # not all of them, so none is held
    for batch in batches():
        domain.add(batch)
    domain.finish()
    assert model.blocks.count(10) == 2 * num_passes


def test_a_cpu_scores_smaller_blocks_that_are_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = ranked(WholeScores(), items_per_tile=20)
    monkeypatch.setattr(ranking, "_USERS_AT_ONCE", 1)
    monkeypatch.setattr(ranking, "_CPU_TILE", (2, 6))
    model = WholeScores()
    domain = domain_of(model, items_per_tile=20)
    for batch in batches():
        domain.add(batch)
    rows = [
        row for users in domain.finish() for row in zip(*map(Tensor.tolist, users), strict=True)
    ]
    assert sorted(rows) == whole
    held, *of_targets = [model.blocks[:4], *model.blocks[4:]]
    assert held == [5, 5, 5, 5]
    assert all(size <= 2 for size in of_targets)


def test_no_block_is_larger_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = WholeScores()
    domain = domain_of(model, items_per_tile=6)
    domain.add(batches()[2])
    domain.finish()
    assert max(model.blocks) == 5  # 20 items in four


def ranked(model: WholeScores, *, items_per_tile: int) -> list[tuple[int, ...]]:
    """User, target, items above it and tied with it, by rising user."""
    domain = domain_of(model, items_per_tile=items_per_tile)
    for batch in batches():
        domain.add(batch)
    (users,) = domain.finish()
    return sorted(zip(*map(Tensor.tolist, users), strict=True))


def by_hand() -> list[tuple[int, ...]]:
    found = whole_matrix(filter_seen=False)
    return sorted((user, *counts) for user, counts in found.items())


def test_each_block_of_a_catalogue_is_computed_once() -> None:
    model = WholeScores()
    assert ranked(model, items_per_tile=6) == by_hand()
    targets_of_tiles = [4, 4, 3, 3, 3]
    assert model.blocks == [*targets_of_tiles, 5, 5, 5, 5]


class Vectors(WholeScores):
    """Scores of 300 products, of which the first and the last item have the same."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.vectors = torch.randn(num_items + 1, 300)
        self.vectors[-1] = self.vectors[1]


@pytest.mark.parametrize("num_items", [1025, 1026, 1032, 2049])
def test_items_that_are_equal_tie_in_whatever_block_they_are(num_items: int) -> None:
    torch.manual_seed(0)
    domain = DomainRanking(
        Vectors(num_items),
        DomainSpan("large", 1, num_items),
        users_per_tile=512,
        items_per_tile=16384,
        filter_seen=False,
        device=torch.device("cpu"),
    )
    users = torch.arange(257)  # one more than a CPU has in a tile
    domain.add(SequenceBatch(users, torch.randint(1, num_items, (257, 3)), torch.ones_like(users)))
    (ranked,) = domain.finish()
    assert ranked.num_equal.eq(1).all()


def test_more_scores_near_the_targets_than_are_kept_change_no_rank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "_MOST_BETWEEN", 0)
    model = WholeScores()
    assert ranked(model, items_per_tile=6) == by_hand()
    assert len(model.blocks) > 9


class RoundedApart(WholeScores):
    """The targets of a tile, at most four, score otherwise than in a block of five."""

    shift = 0.5

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return super().score(encoded, candidates) + (len(candidates) <= 4) * self.shift


@pytest.mark.parametrize("shift", [0.5, 2e-6])
def test_targets_that_score_otherwise_alone_are_ranked_by_their_score_among_all(
    shift: float,
) -> None:
    model = RoundedApart()
    model.shift = shift  # beyond the margin, or within it
    assert ranked(model, items_per_tile=5) == by_hand()


def test_a_domain_without_users_has_no_ranks() -> None:
    assert domain_of(WholeScores(), items_per_tile=6).finish() == []


def test_nan_in_any_tile_is_refused() -> None:
    model = WholeScores()
    model.vectors[SPAN.last_item] = math.nan
    domain = domain_of(model, items_per_tile=6)
    domain.add(batches()[0]._replace(item_ids=torch.full((5, 3), 4)))
    with pytest.raises(ValueError, match="scores hold NaN"):
        domain.finish()


def test_mixed_precision_rounds_no_score() -> None:
    class Crowded(WholeScores):
        """Scores that bfloat16 cannot tell apart."""

        encoded_dtype = torch.float32

        def encode(self, batch: SequenceBatch) -> Tensor:
            return (1 + super().encode(batch) / 1000).to(self.encoded_dtype)

        def candidates(self, item_ids: Tensor) -> Tensor:
            return 1 + super().candidates(item_ids) / 1000

    def ranks(*, enabled: bool) -> list[float]:
        model = Crowded()
        domain = DomainRanking(
            model,
            SPAN,
            users_per_tile=4,
            items_per_tile=7,
            filter_seen=False,
            device=torch.device("cpu"),
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            for batch in batches():
                domain.add(batch)
            return [float(rank) for part in domain.finish() for rank in part.ranks]

    assert ranks(enabled=True) == ranks(enabled=False)
