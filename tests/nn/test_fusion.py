from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from missrec.nn.fusion import DynamicFusion

NUM_USERS, NUM_CANDIDATES, EMBED_DIM = 4, 5, 6
PRESENT = torch.tensor(
    [
        [True, True, False, True, False],  # text
        [True, False, True, True, False],  # image; the last candidate has neither
    ]
)


def fusion_of(alpha: float) -> DynamicFusion:
    return DynamicFusion(initial_alpha=alpha, learnable=True).double()


def users_and_tokens() -> tuple[Tensor, Tensor]:
    """u (B, D) and x (M, C, D), float64."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(NUM_USERS, EMBED_DIM, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, NUM_CANDIDATES, EMBED_DIM, generator=generator, dtype=torch.float64)
    return users, tokens


def modality_scores(users: Tensor, tokens: Tensor) -> Tensor:
    """(M, B, C) <u, x>."""
    return torch.stack([users @ modality.T for modality in tokens])


def naive_scores(users: Tensor, tokens: Tensor, alpha: Tensor) -> Tensor:
    """<u, v> with v built for every user and candidate from the modalities it has (Eq. 1)."""
    rows = []
    for user in users:
        scores = []
        for candidate in range(NUM_CANDIDATES):
            features = [tokens[m, candidate] for m in range(2) if PRESENT[m, candidate]]
            votes = [torch.exp(alpha * (user @ feature)) for feature in features]
            fused = sum(vote * feature for vote, feature in zip(votes, features, strict=True))
            scores.append(user @ (fused / sum(votes)) if features else user.new_zeros(()))
        rows.append(torch.stack(scores))
    return torch.stack(rows)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 7.0])
def test_fused_score_is_that_of_the_explicit_candidate(alpha: float) -> None:
    fusion = fusion_of(alpha)
    users, tokens = (value.requires_grad_() for value in users_and_tokens())
    fused = fusion(modality_scores(users, tokens), PRESENT)
    naive = naive_scores(users, tokens, fusion.alpha)
    torch.testing.assert_close(fused, naive)
    weights = torch.randn(fused.shape, generator=torch.Generator().manual_seed(1)).double()
    inputs = (users, tokens, fusion.raw_alpha)
    torch.testing.assert_close(
        torch.autograd.grad((fused * weights).sum(), inputs),
        torch.autograd.grad((naive * weights).sum(), inputs),
    )


def test_three_modalities_by_hand() -> None:
    scores = torch.tensor([0.0, math.log(2), math.log(5)], dtype=torch.float64)[:, None, None]
    # At alpha = 1 the weights are 1, 2 and 5 of 8; without the last modality 1 and 2 of 3.
    fused = fusion_of(1.0)(
        scores.expand(3, 1, 2), torch.tensor([[True, True], [True, True], [True, False]])
    )
    by_hand = [[(2 * math.log(2) + 5 * math.log(5)) / 8, 2 * math.log(2) / 3]]
    torch.testing.assert_close(fused.tolist(), by_hand)


def test_alpha_near_zero_gives_the_mean_of_the_modalities_that_exist() -> None:
    scores = torch.tensor([[[3.0, 3.0, 3.0]], [[-1.0, -1.0, -1.0]]]).double()
    present = torch.tensor([[True, True, False], [True, False, True]])
    fused = fusion_of(1e-9)(scores, present)
    torch.testing.assert_close(fused.tolist(), [[(3.0 - 1.0) / 2, 3.0, -1.0]])


def test_large_alpha_gives_their_maximum() -> None:
    scores = torch.tensor([[[3.0, 3.0, 3.0]], [[-1.0, -1.0, 4.0]]]).double()
    present = torch.tensor([[True, False, True], [True, True, True]])
    fused = fusion_of(1e4)(scores, present)
    torch.testing.assert_close(fused.tolist(), [[3.0, -1.0, 4.0]])


@pytest.mark.parametrize("num_modalities", [1, 2])
def test_a_candidate_without_modalities_scores_zero_with_a_finite_gradient(
    num_modalities: int,
) -> None:
    fusion = fusion_of(1.0)
    scores = torch.full((num_modalities, 2, 2), 5.0, dtype=torch.float64, requires_grad=True)
    fused = fusion(scores, torch.tensor([[True, False]] * num_modalities))
    fused.sum().backward()
    assert fused.tolist() == [[5, 0], [5, 0]]
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[..., 1].eq(0).all()


def test_the_score_of_a_single_modality_is_unchanged() -> None:
    scores = torch.tensor([[[0.5, -2.0]]]).double()
    assert fusion_of(3.0)(scores, torch.tensor([[True, True]])).tolist() == [[0.5, -2.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype: torch.dtype) -> None:
    scores = modality_scores(*users_and_tokens()).to(dtype)
    assert DynamicFusion(initial_alpha=1.0, learnable=True)(scores, PRESENT).isfinite().all()


@pytest.mark.parametrize("alpha", [1e-6, 0.5, 1.0, 30.0, 1e4])
def test_alpha_starts_where_it_is_told(alpha: float) -> None:
    fusion = DynamicFusion(initial_alpha=alpha, learnable=True)
    assert fusion.alpha.item() == pytest.approx(alpha, rel=1e-5)


@pytest.mark.parametrize("raw_alpha", [-1000.0, -1.0, 5.0])
def test_alpha_is_never_negative(raw_alpha: float) -> None:
    fusion = fusion_of(1.0)
    fusion.raw_alpha.data.fill_(raw_alpha)
    assert fusion.alpha >= 0


@pytest.mark.parametrize("learnable", [False, True])
def test_alpha_is_trained_only_if_learnable(*, learnable: bool) -> None:
    fusion = DynamicFusion(initial_alpha=1.0, learnable=learnable)
    assert [parameter.requires_grad for parameter in fusion.parameters()] == [learnable]


@pytest.mark.parametrize("alpha", [-1.0, 0.0, math.inf, math.nan])
def test_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=rf"initial_alpha \({alpha}\) must be finite and above 0"):
        DynamicFusion(initial_alpha=alpha, learnable=True)
