from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.nn.fusion import DynamicFusion, FixedFusion

NUM_ITEMS = 8
ITEM_IDS = torch.tensor([3, 6, 1, 8, 2])
NUM_USERS, NUM_CANDIDATES, EMBED_DIM = 4, 5, 6
PRESENT = torch.tensor(
    [
        [True, True, False, True, False],  # text
        [True, False, True, True, False],  # image; the last candidate has neither
    ]
)


def fusion_of(
    alpha: float, *, positive: bool = True, per_item: bool = False, num_items: int = NUM_ITEMS
) -> DynamicFusion:
    return DynamicFusion(
        num_items=num_items, initial_alpha=alpha, positive=positive, per_item=per_item
    ).double()


def fixed_fusion(alpha: float) -> FixedFusion:
    return FixedFusion(num_items=NUM_ITEMS, alpha=alpha)


def fuse(fusion: DynamicFusion | FixedFusion, scores: Tensor, present: Tensor) -> Tensor:
    """The fused scores of the first items of ITEM_IDS."""
    fused: Tensor = fusion(scores, present, ITEM_IDS[: scores.shape[-1]])
    return fused


def users_and_tokens() -> tuple[Tensor, Tensor]:
    """u (B, D) and x (M, C, D), float64."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(NUM_USERS, EMBED_DIM, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, NUM_CANDIDATES, EMBED_DIM, generator=generator, dtype=torch.float64)
    return users, tokens


def modality_scores(users: Tensor, tokens: Tensor) -> Tensor:
    """(M, B, C) <u, x>."""
    return torch.stack([users @ modality.T for modality in tokens])


def naive_scores(users: Tensor, tokens: Tensor, alphas: Tensor) -> Tensor:
    """<u, v> with v built for every user and candidate from the modalities it has (Eq. 1).

    Args:
        users: (B, D).
        tokens: (M, C, D).
        alphas: (C,) of each candidate.
    """
    rows = []
    for user in users:
        scores = []
        for candidate in range(NUM_CANDIDATES):
            features = [tokens[m, candidate] for m in range(2) if PRESENT[m, candidate]]
            votes = [torch.exp(alphas[candidate] * (user @ feature)) for feature in features]
            fused = sum(vote * feature for vote, feature in zip(votes, features, strict=True))
            scores.append(user @ (fused / sum(votes)) if features else user.new_zeros(()))
        rows.append(torch.stack(scores))
    return torch.stack(rows)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 7.0])
def test_fused_score_is_that_of_the_explicit_candidate(alpha: float, *, positive: bool) -> None:
    fusion = fusion_of(alpha, positive=positive)
    users, tokens = (value.requires_grad_() for value in users_and_tokens())
    fused = fuse(fusion, modality_scores(users, tokens), PRESENT)
    naive = naive_scores(users, tokens, fusion.alpha.expand(NUM_CANDIDATES))
    torch.testing.assert_close(fused, naive)
    weights = torch.randn(fused.shape, generator=torch.Generator().manual_seed(1)).double()
    inputs = (users, tokens, fusion.raw_alpha)
    torch.testing.assert_close(
        torch.autograd.grad((fused * weights).sum(), inputs),
        torch.autograd.grad((naive * weights).sum(), inputs),
    )


@pytest.mark.parametrize("positive", [False, True])
def test_each_item_is_fused_by_its_own_alpha(*, positive: bool) -> None:
    fusion = fusion_of(1.0, per_item=True, positive=positive)
    with torch.no_grad():
        fusion.raw_alpha.copy_(torch.linspace(-2, 4, NUM_ITEMS + 1))
    users, tokens = (value.requires_grad_() for value in users_and_tokens())
    fused = fuse(fusion, modality_scores(users, tokens), PRESENT)
    naive = naive_scores(users, tokens, fusion.alpha[ITEM_IDS])
    torch.testing.assert_close(fused, naive)
    weights = torch.randn(fused.shape, generator=torch.Generator().manual_seed(1)).double()
    inputs = (users, tokens, fusion.raw_alpha)
    torch.testing.assert_close(
        torch.autograd.grad((fused * weights).sum(), inputs),
        torch.autograd.grad((naive * weights).sum(), inputs),
    )


def test_an_alpha_of_each_item_trains_where_the_item_is_scored_and_has_a_choice() -> None:
    fusion = fusion_of(1.0, per_item=True)
    fuse(fusion, modality_scores(*users_and_tokens()), PRESENT).square().sum().backward()
    assert fusion.raw_alpha.grad is not None
    # Of the candidates 3, 6, 1, 8, 2 the first and the fourth have both modalities.
    assert fusion.raw_alpha.grad.nonzero().squeeze(1).tolist() == [3, 8]


def test_the_alphas_of_all_items_start_alike() -> None:
    torch.testing.assert_close(
        fusion_of(3.0, per_item=True).alpha.tolist(), [3.0] * (1 + NUM_ITEMS), rtol=1e-6, atol=0
    )


def test_without_positive_alpha_starts_at_the_mean_and_may_turn_to_the_lower_score() -> None:
    fusion = fusion_of(0.0, positive=False)
    scores = torch.tensor([0.0, math.log(2)]).double()[:, None, None]
    present = torch.tensor([[True], [True]])
    assert fusion.alpha == 0
    assert fuse(fusion, scores, present).item() == pytest.approx(math.log(2) / 2)
    with torch.no_grad():
        fusion.raw_alpha.fill_(-1.0)
    # The weights are 1 and 1/2.
    assert fuse(fusion, scores, present).item() == pytest.approx(math.log(2) / 2 / (1 + 1 / 2))


def test_an_alpha_of_zero_trains() -> None:
    fusion = fusion_of(0.0, positive=False)
    scores = torch.tensor([1.0, 4.0]).double()[:, None, None]
    fuse(fusion, scores, torch.tensor([[True], [True]])).backward()
    assert fusion.raw_alpha.grad is not None
    # The derivative by alpha is the weighted variance of the scores.
    assert fusion.raw_alpha.grad.item() == pytest.approx((4 - 1) ** 2 / 4)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 7.0])
def test_a_fixed_alpha_fuses_as_a_learned_one_of_that_value(alpha: float) -> None:
    scores = modality_scores(*users_and_tokens()).requires_grad_()
    fixed = fuse(fixed_fusion(alpha), scores, PRESENT)
    learned = fuse(fusion_of(alpha), scores, PRESENT)
    torch.testing.assert_close(fixed, learned)
    weights = torch.randn(fixed.shape, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(
        torch.autograd.grad((fixed * weights).sum(), scores),
        torch.autograd.grad((learned * weights).sum(), scores),
    )
    assert fixed_fusion(alpha).alpha.item() == pytest.approx(alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.inf])
def test_a_fixed_alpha_has_no_parameters(alpha: float) -> None:
    fusion = fixed_fusion(alpha)
    assert not list(fusion.parameters())
    assert not fusion.state_dict()


@pytest.mark.parametrize(
    ("alpha", "by_hand"),
    [(0.0, [(3 - 1) / 2, 3, -1, 0]), (math.inf, [3, 3, -1, 0])],
)
def test_fixed_at_zero_is_the_mean_and_at_infinity_the_maximum_of_what_exists(
    alpha: float, by_hand: list[float]
) -> None:
    scores = torch.tensor([[[3.0] * 4], [[-1.0] * 4]], requires_grad=True)
    present = torch.tensor([[True, True, False, False], [True, False, True, False]])
    fused = fuse(fixed_fusion(alpha), scores, present)
    assert fused.tolist() == [by_hand]
    fused.sum().backward()
    assert scores.grad is not None
    both = [1 / 2, 1 / 2] if alpha == 0 else [1, 0]
    assert scores.grad[0].tolist() == [[both[0], 1, 0, 0]]
    assert scores.grad[1].tolist() == [[both[1], 0, 1, 0]]


@pytest.mark.parametrize("alpha", [0.0, 2.0, math.inf])
def test_fixed_fusion_leaves_a_single_modality_unchanged(alpha: float) -> None:
    scores = torch.tensor([[[0.5, -2.0]]])
    assert fuse(fixed_fusion(alpha), scores, torch.tensor([[True, True]])).tolist() == [[0.5, -2]]


@pytest.mark.parametrize("alpha", [-1.0, -math.inf, math.nan])
def test_fixed_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=rf"alpha \({alpha}\) must be at least 0"):
        fixed_fusion(alpha)


def test_three_modalities_by_hand() -> None:
    scores = torch.tensor([0.0, math.log(2), math.log(5)], dtype=torch.float64)[:, None, None]
    # At alpha = 1 the weights are 1, 2 and 5 of 8; without the last modality 1 and 2 of 3.
    fused = fuse(
        fusion_of(1.0),
        scores.expand(3, 1, 2),
        torch.tensor([[True, True], [True, True], [True, False]]),
    )
    by_hand = [[(2 * math.log(2) + 5 * math.log(5)) / 8, 2 * math.log(2) / 3]]
    torch.testing.assert_close(fused.tolist(), by_hand)


def test_alpha_near_zero_gives_the_mean_of_the_modalities_that_exist() -> None:
    scores = torch.tensor([[[3.0, 3.0, 3.0]], [[-1.0, -1.0, -1.0]]]).double()
    present = torch.tensor([[True, True, False], [True, False, True]])
    fused = fuse(fusion_of(1e-9), scores, present)
    torch.testing.assert_close(fused.tolist(), [[(3.0 - 1.0) / 2, 3.0, -1.0]])


def test_large_alpha_gives_their_maximum() -> None:
    scores = torch.tensor([[[3.0, 3.0, 3.0]], [[-1.0, -1.0, 4.0]]]).double()
    present = torch.tensor([[True, False, True], [True, True, True]])
    fused = fuse(fusion_of(1e4), scores, present)
    torch.testing.assert_close(fused.tolist(), [[3.0, -1.0, 4.0]])


@pytest.mark.parametrize("num_modalities", [1, 2])
@pytest.mark.parametrize(
    "fusion", [fusion_of(1.0), fusion_of(1.0, per_item=True), fixed_fusion(math.inf)]
)
def test_a_candidate_without_modalities_scores_zero_with_a_finite_gradient(
    fusion: DynamicFusion | FixedFusion, num_modalities: int
) -> None:
    scores = torch.full((num_modalities, 2, 2), 5.0, dtype=torch.float64, requires_grad=True)
    fused = fuse(fusion, scores, torch.tensor([[True, False]] * num_modalities))
    fused.sum().backward()
    assert fused.tolist() == [[5, 0], [5, 0]]
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[..., 1].eq(0).all()


def test_the_score_of_a_single_modality_is_unchanged() -> None:
    scores = torch.tensor([[[0.5, -2.0]]]).double()
    assert fuse(fusion_of(3.0), scores, torch.tensor([[True, True]])).tolist() == [[0.5, -2.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype: torch.dtype) -> None:
    scores = modality_scores(*users_and_tokens()).to(dtype)
    for fusion in (fusion_of(1.0).float(), *map(fixed_fusion, (0.0, 1.0, math.inf))):
        assert fuse(fusion, scores, PRESENT).isfinite().all()


@pytest.mark.parametrize("alpha", [1e-6, 0.5, 1.0, 30.0, 1e4])
def test_alpha_starts_where_it_is_told(alpha: float) -> None:
    for positive in (False, True):
        fusion = fusion_of(alpha, positive=positive).float()
        assert fusion.alpha.item() == pytest.approx(alpha, rel=1e-5)


@pytest.mark.parametrize("raw_alpha", [-1000.0, -1.0, 5.0])
def test_a_positive_alpha_is_never_negative(raw_alpha: float) -> None:
    fusion = fusion_of(1.0)
    fusion.raw_alpha.data.fill_(raw_alpha)
    assert fusion.alpha >= 0


@pytest.mark.parametrize(
    ("alpha", "positive"),
    [(0.0, True), *((alpha, p) for alpha in (-1.0, math.inf, math.nan) for p in (True, False))],
)
def test_alpha_out_of_range_is_refused(alpha: float, *, positive: bool) -> None:
    with pytest.raises(ValueError, match=rf"initial_alpha \({alpha}\) must be finite and above 0"):
        fusion_of(alpha, positive=positive)


@pytest.mark.parametrize("alpha", [0.5, 40.0])
@pytest.mark.parametrize("per_item", [False, True])
def test_two_modalities_fuse_as_three_of_which_one_is_absent(
    alpha: float, *, per_item: bool
) -> None:
    """The sigmoid for two equals the softmax for any number, forward and gradient."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(2, NUM_USERS, NUM_CANDIDATES, generator=generator, dtype=torch.float64)
    results = []
    for padding in (0, 1):
        fusion = fusion_of(alpha, per_item=per_item)
        part = scores.clone().requires_grad_()
        padded = torch.cat([part, part.new_ones(padding, NUM_USERS, NUM_CANDIDATES)])
        present = torch.cat([PRESENT, PRESENT.new_zeros(padding, NUM_CANDIDATES)])
        fused = fuse(fusion, padded, present)
        (fused * scores[0]).sum().backward()
        results.append((fused.detach(), part.grad, fusion.raw_alpha.grad))
    torch.testing.assert_close(results[0], results[1])
