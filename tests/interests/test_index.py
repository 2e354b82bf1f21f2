from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.interests.clustering import SinglePrototype
from missrec.interests.index import NO_INTEREST, InterestIndex
from synthetic import dpc_knn

NUM_ITEMS, EMBED_DIM = 12, 4
WITHOUT_IMAGE = [2, 5, 6, 11]
WITHOUT_TEXT = [6, 7]
NUM_TOKENS = 2 * NUM_ITEMS - 4 - 2


def presence() -> Tensor:
    """(2, N + 1) bool: text, image; item 6 has neither."""
    present = torch.ones(2, NUM_ITEMS + 1, dtype=torch.bool)
    present[:, 0] = False
    present[0, WITHOUT_TEXT] = False
    present[1, WITHOUT_IMAGE] = False
    return present


def item_tokens(seed: int = 0) -> Tensor:
    """(2, N + 1, D), NaN where there is no token: nothing may read it."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(2, NUM_ITEMS + 1, EMBED_DIM, generator=generator)
    return tokens.masked_fill(~presence()[..., None], math.nan)


def interest_index(
    *, num_neighbors: int = 3, mean_prototypes: bool = False, **changes: Any
) -> InterestIndex:
    settings: dict[str, Any] = {
        "present": presence(),
        "embed_dim": EMBED_DIM,
        "ratio": 1 / 3,
        "clustering": dpc_knn(num_neighbors=num_neighbors, mean_prototypes=mean_prototypes),
        "normalize_tokens": False,
        "padding_slot": False,
    }
    return InterestIndex(**{**settings, **changes})


def refreshed(**changes: Any) -> InterestIndex:
    index = interest_index(**changes)
    index.refresh(item_tokens())
    return index


def existing_tokens() -> list[tuple[int, int]]:
    """(modality, item) of every token."""
    return [(int(m), int(item)) for m, item in presence().nonzero()]


def test_each_token_belongs_to_its_nearest_prototype() -> None:
    index, tokens = refreshed(), item_tokens()
    for modality, item in existing_tokens():
        token = tokens[modality, item]
        distances = [float((token - prototype).norm()) for prototype in index.prototypes]
        assert index.interest_of_item[modality, item] == distances.index(min(distances))


def test_what_does_not_exist_has_no_interest() -> None:
    interest_of_item = refreshed().interest_of_item
    assert interest_of_item[~presence()].eq(NO_INTEREST).all()
    assert interest_of_item[presence()].ge(0).all()


@pytest.mark.parametrize(("ratio", "num_interests"), [(1 / 3, 6), (0.01, 1), (1.0, NUM_TOKENS)])
def test_number_of_prototypes_is_the_ratio_of_the_tokens(ratio: float, num_interests: int) -> None:
    index = refreshed(ratio=ratio)
    assert NUM_TOKENS == 18
    assert len(index.prototypes) == num_interests


def test_prototypes_are_tokens() -> None:
    index, tokens = refreshed(), item_tokens()[presence()]
    found = [bool((tokens == prototype).all(dim=1).any()) for prototype in index.prototypes]
    assert found == [True] * 6


def test_mean_prototypes_are_the_means_of_their_members() -> None:
    index, tokens = refreshed(mean_prototypes=True), item_tokens()
    for number, prototype in enumerate(index.prototypes):
        members = [
            tokens[modality, item]
            for modality, item in existing_tokens()
            if index.interest_of_item[modality, item] == number
        ]
        torch.testing.assert_close(prototype, sum(members) / len(members))


@pytest.mark.parametrize("mean_prototypes", [False, True])
def test_with_normalized_tokens_their_length_does_not_matter(*, mean_prototypes: bool) -> None:
    lengths = torch.linspace(0.1, 5, NUM_ITEMS + 1)[:, None]
    index = refreshed(normalize_tokens=True, mean_prototypes=mean_prototypes)
    scaled = interest_index(normalize_tokens=True, mean_prototypes=mean_prototypes)
    scaled.refresh(item_tokens() * lengths)
    torch.testing.assert_close(scaled.prototypes, index.prototypes)
    assert scaled.interest_of_item.equal(index.interest_of_item)
    plain = interest_index(mean_prototypes=mean_prototypes)
    plain.refresh(item_tokens() * lengths)
    assert not plain.interest_of_item.equal(index.interest_of_item)


def test_drift_is_zero_at_first_and_when_nothing_moved() -> None:
    index = interest_index()
    assert index.refresh(item_tokens()).drift == 0
    assert index.refresh(item_tokens()).drift == pytest.approx(0, abs=1e-6)


def test_drift_is_two_when_every_token_turned_round() -> None:
    assert refreshed().refresh(-item_tokens()).drift == pytest.approx(1 - (-1))


def test_drift_is_the_mean_cosine_distance_of_the_tokens_prototypes() -> None:
    index = refreshed()
    before = {
        key: index.prototypes[index.interest_of_item[key]].clone() for key in existing_tokens()
    }
    report = index.refresh(item_tokens(seed=1))
    distances = [
        1 - F.cosine_similarity(old, index.prototypes[index.interest_of_item[key]], dim=0).item()
        for key, old in before.items()
    ]
    assert report.drift == pytest.approx(sum(distances) / NUM_TOKENS, rel=1e-5)


@pytest.mark.parametrize("mean_prototypes", [False, True])
def test_prototypes_without_members_are_not_live(*, mean_prototypes: bool) -> None:
    index = interest_index(mean_prototypes=mean_prototypes)
    tokens = torch.eye(2, EMBED_DIM)[:, None].expand(-1, NUM_ITEMS + 1, -1)
    report = index.refresh(tokens)  # all texts are equal, and all images
    assert report.num_live == 2
    assert torch.isfinite(index.prototypes).all()
    assert set(index.interest_of_item[0, 1:].tolist()) == {0, NO_INTEREST}
    assert set(index.interest_of_item[1, 1:].tolist()) == {1, NO_INTEREST}


def test_all_prototypes_of_different_tokens_are_live() -> None:
    assert interest_index().refresh(item_tokens()).num_live == 6


def test_refresh_fills_the_state_in_place() -> None:
    index = interest_index()
    before = {name: (value.data_ptr(), value.shape) for name, value in index.state_dict().items()}
    index.refresh(item_tokens())
    after = {name: (value.data_ptr(), value.shape) for name, value in index.state_dict().items()}
    assert before == after
    assert set(after) == {"prototypes", "interest_of_item", "num_refreshes"}
    assert index.num_refreshes == 1


def test_state_travels_through_state_dict() -> None:
    index, restored = refreshed(), interest_index()
    restored.load_state_dict(index.state_dict())
    item_ids = torch.arange(NUM_ITEMS + 1)[None]
    assert restored(item_ids).embeddings.equal(index(item_ids).embeddings)
    tokens = item_tokens(seed=1)
    assert restored.refresh(tokens) == index.refresh(tokens)


def test_prototypes_carry_no_gradient() -> None:
    index = interest_index(mean_prototypes=True)
    index.refresh(item_tokens().requires_grad_())
    assert not index.prototypes.requires_grad
    assert not list(index.parameters())


def test_a_sequence_has_each_of_its_interests_once() -> None:
    index = refreshed()
    generator = torch.Generator().manual_seed(0)
    item_ids = torch.randint(0, NUM_ITEMS + 1, (30, 5), generator=generator)  # with padding
    tokens = index(item_ids)
    longest = 0
    for row, history in enumerate(item_ids.tolist()):
        interests = {int(index.interest_of_item[m, item]) for m in (0, 1) for item in history}
        interests.discard(NO_INTEREST)
        expected = sorted(index.prototypes[interest].tolist() for interest in interests)
        assert sorted(tokens.embeddings[row, tokens.valid_mask[row]].tolist()) == expected
        longest = max(longest, len(interests))
    assert tokens.embeddings.shape == (30, longest, EMBED_DIM)


@pytest.mark.parametrize("history", [[0, 0], [6, 0], [6, 6]])
def test_a_sequence_without_any_token_has_no_interest(history: list[int]) -> None:
    index = refreshed()
    for item_ids in (torch.tensor([history]), torch.tensor([history, [1, 2]])):
        tokens = index(item_ids)
        assert not tokens.valid_mask[0].any()
        assert tokens.embeddings[0].eq(0).all()


def test_before_the_first_refresh_there_are_no_interests() -> None:
    assert not interest_index()(torch.arange(NUM_ITEMS + 1)[None]).valid_mask.any()


def test_a_padding_slot_is_one_more_empty_interest_of_every_sequence() -> None:
    plain, padded = refreshed(), refreshed(padding_slot=True)
    for histories in ([[1, 2, 3], [6, 0, 0], [4, 0, 0]], [[7]], [[6, 6], [0, 0]]):
        item_ids = torch.tensor(histories)
        expected, found = plain(item_ids), padded(item_ids)
        assert found.embeddings[:, :-1].equal(expected.embeddings)
        assert found.valid_mask[:, :-1].equal(expected.valid_mask)
        assert found.embeddings[:, -1].eq(0).all()
        assert not found.valid_mask[:, -1].any()


def test_a_catalogue_without_any_token_is_refused() -> None:
    with pytest.raises(ValueError, match="no item has a feature of these modalities"):
        interest_index(present=torch.zeros_like(presence()))


@pytest.mark.parametrize("ratio", [-0.5, 0.0, 1.01, math.nan])
def test_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"ratio \({ratio}\) must be in \(0, 1\]"):
        interest_index(ratio=ratio)


def test_more_neighbors_than_tokens_are_refused_and_leave_the_interests_alone() -> None:
    index = interest_index(num_neighbors=NUM_TOKENS)
    index.load_state_dict(refreshed().state_dict())
    with pytest.raises(ValueError, match=r"num_neighbors \(18\) must be in 1..17 with 18 tokens"):
        index.refresh(item_tokens())
    torch.testing.assert_close(index.state_dict(), refreshed().state_dict(), rtol=0, atol=0)


def test_members_hold_every_token_once_with_its_distance_to_its_prototype() -> None:
    index, moved = refreshed(), item_tokens(seed=1)
    members = index.members(moved)
    rows = zip(*(column.tolist() for column in members), strict=True)
    expected = [
        (
            modality,
            item,
            interest := int(index.interest_of_item[modality, item]),
            float((moved[modality, item] - index.prototypes[interest]).norm()),
        )
        for modality in range(2)
        for item in range(1, NUM_ITEMS + 1)
        if presence()[modality, item]
    ]
    assert [pytest.approx(row) for row in rows] == expected
    assert len(expected) == NUM_TOKENS


def test_normalised_tokens_are_measured_at_unit_length() -> None:
    index = refreshed(normalize_tokens=True)
    assert index.members(1000 * item_tokens()).distances.max() < 2.0001


def test_zero_prototypes_that_stay_do_not_drift() -> None:
    index = refreshed(clustering=SinglePrototype())
    assert index.refresh(item_tokens(seed=1)).drift == 0
    assert index.report is not None
    assert index.report.num_live == 1
