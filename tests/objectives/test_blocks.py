"""The softmax in blocks is the plain one: value and gradient, whatever the blocks are."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from missrec.nn.fusion import DynamicFusion
from missrec.objectives.blocks import block_columns, softmax_parts
from missrec.objectives.ranking import FullSoftmax, candidate_loss

NUM_ITEMS, NUM_ROWS, WIDTH = 23, 5, 6
TARGETS = torch.tensor([0, 22, 7, 7, 12])


class Pair(NamedTuple):
    """Candidates of two modalities, with ids; the second tensor has no gradient."""

    tokens: Tensor
    present: Tensor
    ids: Tensor | None

    def select(self, index: slice) -> Pair:
        ids = None if self.ids is None else self.ids[index]
        return Pair(self.tokens[:, index], self.present[:, index], ids)


class Fused(nn.Module):
    """Scores of modalities fused with a learned alpha, plus ids."""

    def __init__(self) -> None:
        super().__init__()
        self.fusion = DynamicFusion(
            num_items=NUM_ITEMS, initial_alpha=1.3, positive=True, per_item=False
        )

    def forward(self, encoded: Tensor, items: Pair) -> Tensor:
        by_modality = torch.stack([encoded @ part.T for part in items.tokens])
        scores: Tensor = self.fusion(by_modality, items.present, torch.zeros(()))
        return scores if items.ids is None else scores + encoded @ items.ids.T


def inner(encoded: Tensor, items: Tensor) -> Tensor:
    return encoded @ items.T


def random(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def plain_parts(logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits.logsumexp(dim=1), logits.gather(1, TARGETS[:, None]).squeeze(1)


def gradients(parts: tuple[Tensor, Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Of a sum that weighs every row and both parts differently."""
    weights = torch.linspace(0.3, 2.0, NUM_ROWS, dtype=torch.float64)
    total = (weights * parts[0] - weights.flip(0) * parts[1]).sum()
    return list(torch.autograd.grad(total, inputs))


@pytest.mark.parametrize("temperature", [None, 0.07])
@pytest.mark.parametrize("columns", [1, 4, 22, 23, 100])
def test_blocks_of_inner_products_are_the_plain_softmax(
    columns: int, temperature: float | None
) -> None:
    encoded, items = random(NUM_ROWS, WIDTH, seed=1), random(NUM_ITEMS, WIDTH, seed=2)
    found = softmax_parts(
        inner,
        encoded,
        items,
        TARGETS,
        num_candidates=NUM_ITEMS,
        temperature=temperature,
        columns=columns,
    )
    expected = plain_parts(inner(encoded, items) / (temperature or 1.0))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    inputs = [encoded, items]
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("columns", [1, 5, 23])
def test_blocks_of_fused_scores_are_the_plain_softmax_also_for_alpha(
    columns: int, *, with_ids: bool
) -> None:
    score = Fused().double()
    encoded, tokens = random(NUM_ROWS, WIDTH, seed=1), random(2, NUM_ITEMS, WIDTH, seed=2)
    ids = random(NUM_ITEMS, WIDTH, seed=3) if with_ids else None
    present = torch.rand(2, NUM_ITEMS, generator=torch.Generator().manual_seed(4)) < 0.7
    items = Pair(tokens, present, ids)
    found = softmax_parts(
        score, encoded, items, TARGETS, num_candidates=NUM_ITEMS, temperature=0.5, columns=columns
    )
    expected = plain_parts(score(encoded, items) / 0.5)
    torch.testing.assert_close(found, expected)
    inputs = [encoded, tokens, score.fusion.raw_alpha, *([] if ids is None else [ids])]
    of_found = gradients(found, inputs)
    torch.testing.assert_close(of_found, gradients(expected, inputs))
    assert of_found[2].abs() > 1e-3  # alpha's


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    encoded, items = random(NUM_ROWS, WIDTH, seed=1), random(NUM_ITEMS, WIDTH, seed=2).detach()
    parts = softmax_parts(
        inner, encoded, items, TARGETS, num_candidates=NUM_ITEMS, temperature=None, columns=4
    )
    assert gradients(parts, [encoded])[0].abs().sum() > 0
    assert items.grad is None
    frozen = softmax_parts(
        inner,
        encoded.detach(),
        items,
        TARGETS,
        num_candidates=NUM_ITEMS,
        temperature=None,
        columns=4,
    )
    assert not frozen[0].requires_grad


def test_scores_that_overflow_exp_stay_finite_in_blocks() -> None:
    items = torch.tensor([[-1000.0], [1000.0], [999.0]])
    total, own = softmax_parts(
        inner,
        torch.ones(2, 1),
        items,
        torch.tensor([0, 1]),
        num_candidates=3,
        temperature=None,
        columns=1,
    )
    assert own.tolist() == [-1000.0, 1000.0]
    torch.testing.assert_close(total, torch.full((2,), 1000.0 + 0.3133), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("with_own", [True, False])
def test_a_full_softmax_of_little_memory_gives_the_loss_of_one_of_much(*, with_own: bool) -> None:
    encoded, items = random(NUM_ROWS, WIDTH, seed=1), random(NUM_ITEMS, WIDTH, seed=2)
    own = random(NUM_ROWS, 2, seed=3) if with_own else None
    losses = [
        candidate_loss(
            FullSoftmax(padding_candidate=False, score_bytes=score_bytes),
            inner,
            encoded,
            items,
            TARGETS,
            num_candidates=NUM_ITEMS,
            temperature=0.3,
            own_negatives=own,
        )
        for score_bytes in (None, 4 * NUM_ROWS * 3)
    ]
    logits = inner(encoded, items) / 0.3
    beside = logits if own is None else torch.cat([logits, own], dim=1)
    torch.testing.assert_close(losses, [F.cross_entropy(beside, TARGETS)] * 2)
    inputs = [encoded, items, *([] if own is None else [own])]
    plain, blocks = (torch.autograd.grad(loss, inputs) for loss in losses)
    torch.testing.assert_close(blocks, plain)


class LargestTensor(TorchDispatchMode):
    """Notes the largest number of elements that an operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **kwargs or {})
        for part in result if isinstance(result, tuple) else (result,):
            if isinstance(part, Tensor):
                self.size = max(self.size, part.numel())
        return result


def test_no_tensor_is_as_large_as_all_scores() -> None:
    encoded, items = random(40, 2, seed=1), random(300, 2, seed=2)
    targets = torch.arange(40)
    with LargestTensor() as largest:
        total, own = softmax_parts(
            inner, encoded, items, targets, num_candidates=300, temperature=0.1, columns=15
        )
        (total - own).sum().backward()
    assert largest.size == 40 * 15  # and the gradient of the items is 300 * 2


def test_scores_that_may_exist_are_made_at_once_and_others_by_as_much_as_may() -> None:
    cpu = torch.device("cpu")
    objective = FullSoftmax(padding_candidate=False, score_bytes=4000)
    assert objective.columns(10, 100, device=cpu) == 100
    assert objective.columns(10, 101, device=cpu) == 100
    assert objective.columns(2000, 101, device=cpu) == 1
    by_default = FullSoftmax(padding_candidate=False)
    assert by_default.columns(512, 131_072, device=cpu) == 131_072  # 256 MiB
    assert by_default.columns(512, 131_073, device=cpu) == 1024  # 2 MiB
    assert block_columns(512, score_bytes=1 << 20, device=cpu) == 512


def test_score_bytes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"score_bytes \(0\) must be at least 1"):
        FullSoftmax(padding_candidate=False, score_bytes=0)
