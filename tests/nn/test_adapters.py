from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from missrec.nn.adapters import (
    BottleneckAdapter,
    LinearAdapter,
    MixtureOfExpertsAdapter,
    NoAdapter,
    RectifiedAdapter,
    StandardizedAdapter,
    modality_adapters,
)
from synthetic import feature_table, text_and_image

FEATURES = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_linear_adapter_is_one_linear_map() -> None:
    adapter = LinearAdapter(3, 2)
    adapter.load_state_dict(
        {
            "weight": torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]]),
            "bias": torch.tensor([10.0, 20.0]),
        }
    )
    by_hand = [[1 - 3 + 10, 0.5 * 1 + 2 * 2 + 20], [10, 20]]
    torch.testing.assert_close(adapter(FEATURES), torch.tensor(by_hand))


def test_rectified_adapter_cuts_a_linear_map_at_zero() -> None:
    adapter = RectifiedAdapter(3, 2)
    adapter.load_state_dict(
        {
            "0.weight": torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]]),
            "0.bias": torch.tensor([1.0, 20.0]),
        }
    )
    by_hand = [[max(0.0, 1 - 3 + 1), 0.5 * 1 + 2 * 2 + 20], [1, 20]]
    torch.testing.assert_close(adapter(FEATURES), torch.tensor(by_hand))


def test_bottleneck_adapter_starts_at_its_linear_map() -> None:
    adapter = BottleneckAdapter(3, 4, bottleneck_dim=2)
    expected = FEATURES @ adapter.project.weight.T + adapter.project.bias
    torch.testing.assert_close(adapter(FEATURES), expected)


def test_bottleneck_adapter_adds_a_residual_through_its_bottleneck() -> None:
    torch.manual_seed(0)
    adapter = BottleneckAdapter(3, 4, bottleneck_dim=2)
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    projected = FEATURES @ adapter.project.weight.T + adapter.project.bias
    squeezed = F.gelu(projected @ adapter.down.weight.T + adapter.down.bias)
    assert squeezed.shape == (2, 2)
    expected = projected + squeezed @ adapter.up.weight.T + adapter.up.bias
    torch.testing.assert_close(adapter(FEATURES), expected)


def test_bottleneck_adapter_leaves_its_start_in_training() -> None:
    torch.manual_seed(0)
    adapter = BottleneckAdapter(3, 4, bottleneck_dim=2)
    adapter(FEATURES).square().sum().backward()
    assert adapter.up.weight.grad is not None
    assert adapter.up.weight.grad.abs().max() > 0


NUM_EXPERTS = 3


def mixture(
    *, num_experts: int = NUM_EXPERTS, dropout_prob: float = 0.0, embed_dim: int = 4
) -> MixtureOfExpertsAdapter:
    """F = 3, every parameter random, so that the gates differ."""
    torch.manual_seed(0)
    adapter = MixtureOfExpertsAdapter(
        3, embed_dim, num_experts=num_experts, dropout_prob=dropout_prob
    )
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    return adapter


def naive_mixture(
    adapter: MixtureOfExpertsAdapter, features: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Item by item and expert by expert, without dropout; noise (P, E) is standard normal."""
    rows = []
    for number, feature in enumerate(features):
        votes, experts = [], []
        for expert in range(len(adapter.shift)):
            vote = feature @ adapter.gate[:, expert]
            if noise is not None:
                spread = torch.log1p(torch.exp(feature @ adapter.gate_noise[:, expert])) + 0.01
                vote = vote + noise[number, expert] * spread
            votes.append(torch.exp(vote))
            experts.append((feature - adapter.shift[expert]) @ adapter.whitening[expert])
        weighted = [vote * expert for vote, expert in zip(votes, experts, strict=True)]
        rows.append(sum(weighted) / sum(votes))
    return torch.stack(rows)


def gradients(adapter: nn.Module, adapted: Tensor) -> dict[str, Tensor]:
    """Of a weighted sum, by every parameter; zeros where it takes no part."""
    weights = torch.randn(adapted.shape, generator=torch.Generator().manual_seed(1))
    names, parameters = zip(*adapter.named_parameters(), strict=True)
    found = torch.autograd.grad((adapted * weights).sum(), parameters, materialize_grads=True)
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("num_experts", [1, NUM_EXPERTS])
def test_mixture_of_experts_is_the_gated_sum_of_whitenings(num_experts: int) -> None:
    adapter = mixture(num_experts=num_experts, dropout_prob=0.5).eval()
    adapted, naive = adapter(FEATURES), naive_mixture(adapter, FEATURES)
    torch.testing.assert_close(adapted, naive)
    torch.testing.assert_close(gradients(adapter, adapted), gradients(adapter, naive))


def test_mixture_of_experts_by_hand() -> None:
    adapter = MixtureOfExpertsAdapter(2, 1, num_experts=2, dropout_prob=0.2).eval()
    state = {
        "shift": [[1.0, 0.0], [0.0, 0.0]],
        "whitening": [[[1.0], [10.0]], [[2.0], [0.0]]],
        "gate": [[0.0, math.log(3)], [0.0, 0.0]],
        "gate_noise": [[0.0, 0.0], [0.0, 0.0]],
    }
    adapter.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    # Experts of (1, 2): (1 - 1) + 10 * 2 and 2 * 1; gates 1/4 and 3/4.
    adapted = adapter(torch.tensor([[1.0, 2.0]]))
    assert adapted.item() == pytest.approx(20 / 4 + 2 * 3 / 4)


def test_mixture_of_experts_starts_with_even_gates() -> None:
    adapter = MixtureOfExpertsAdapter(3, 4, num_experts=NUM_EXPERTS, dropout_prob=0.0).eval()
    expected = sum(FEATURES @ whitening for whitening in adapter.whitening) / NUM_EXPERTS
    torch.testing.assert_close(adapter(FEATURES), expected)


def test_the_gates_of_training_have_noise_of_the_learned_scale() -> None:
    adapter = mixture()
    torch.manual_seed(7)
    adapted = adapter(FEATURES)
    torch.manual_seed(7)
    naive = naive_mixture(adapter, FEATURES, torch.randn(len(FEATURES), NUM_EXPERTS))
    torch.testing.assert_close(adapted, naive)
    torch.testing.assert_close(gradients(adapter, adapted), gradients(adapter, naive))
    assert not adapter(FEATURES).allclose(adapted)


def test_every_expert_draws_its_own_dropout_in_training_only() -> None:
    adapter = MixtureOfExpertsAdapter(64, 128, num_experts=2, dropout_prob=0.5)
    with torch.no_grad():  # the first expert writes the first 64 columns, the second the others
        adapter.whitening.copy_(torch.eye(128).view(2, 64, 128))
    torch.manual_seed(0)
    first, second = adapter(torch.ones(1, 64)).split(64, dim=1)
    for part in (first, second):
        kept = part[part != 0]
        assert 0 < len(kept) < 64
        torch.testing.assert_close(kept, kept[:1].expand(len(kept)))
    assert not first.ne(0).equal(second.ne(0))
    assert adapter.eval()(torch.ones(1, 64)).tolist() == [[0.5] * 128]


def test_training_reaches_every_parameter_of_the_mixture_and_evaluation_no_noise() -> None:
    adapter = MixtureOfExpertsAdapter(3, 4, num_experts=NUM_EXPERTS, dropout_prob=0.2)
    torch.manual_seed(0)
    training = gradients(adapter, adapter(FEATURES))
    assert set(training) == {"shift", "whitening", "gate", "gate_noise"}
    assert all(gradient.isfinite().all() and gradient.any() for gradient in training.values())
    evaluation = gradients(adapter.eval(), adapter(FEATURES))
    assert [name for name, gradient in evaluation.items() if not gradient.any()] == ["gate_noise"]


@pytest.mark.parametrize(
    "adapter",
    [
        LinearAdapter(3, 4),
        RectifiedAdapter(3, 4),
        BottleneckAdapter(3, 4, bottleneck_dim=2),
        mixture(),
    ],
)
def test_no_items_give_no_embeddings(adapter: nn.Module) -> None:
    assert adapter(torch.zeros(0, 3)).shape == (0, 4)


@pytest.mark.parametrize("num_experts", [-1, 0])
def test_a_mixture_without_experts_is_refused(num_experts: int) -> None:
    with pytest.raises(ValueError, match=rf"num_experts \({num_experts}\) must be at least 1"):
        MixtureOfExpertsAdapter(3, 4, num_experts=num_experts, dropout_prob=0.0)


def test_without_an_adapter_the_features_stay_as_they_are() -> None:
    adapter = NoAdapter(3, 3)
    assert adapter(FEATURES).equal(FEATURES)
    assert not list(adapter.parameters())


def test_without_an_adapter_another_width_is_refused() -> None:
    message = r"embed_dim \(4\) must be the width of the features \(3\).*None takes it"
    with pytest.raises(ValueError, match=message):
        NoAdapter(3, 4)


def test_standardized_features_are_around_zero_and_of_one_size() -> None:
    adapter = StandardizedAdapter(2, 2)
    adapter.learn_features([torch.tensor([[1.0, 10.0], [3.0, 10.0]]), torch.tensor([[5.0, 16.0]])])
    torch.testing.assert_close(adapter.mean, torch.tensor([3.0, 12.0]))
    # Variances 8/3 and 8: their mean is 16/3.
    torch.testing.assert_close(adapter.size, torch.tensor((16 / 3) ** 0.5))
    adapter.project.load_state_dict({"weight": torch.eye(2), "bias": torch.ones(2)})
    expected = torch.tensor([[1 - 2 / (16 / 3) ** 0.5, 1 - 2 / (16 / 3) ** 0.5]])
    torch.testing.assert_close(adapter(torch.tensor([[1.0, 10.0]])), expected)


@pytest.mark.parametrize("rows", [[[2.0, 5.0]], [[2.0, 5.0], [2.0, 5.0]]], ids=["one", "equal"])
def test_features_without_variance_are_only_moved(rows: list[list[float]]) -> None:
    adapter = StandardizedAdapter(2, 2)
    adapter.learn_features([torch.tensor(rows)])
    assert adapter.size == 1
    torch.testing.assert_close(
        adapter(torch.tensor(rows)), adapter.project.bias.expand(len(rows), 2)
    )


def test_no_features_leave_a_standardized_adapter_as_it_was() -> None:
    adapter = StandardizedAdapter(2, 2)
    adapter.learn_features([])
    assert (adapter.mean.tolist(), adapter.size.item()) == ([0, 0], 1)


def test_the_features_of_a_catalogue_are_learned_from_items_that_have_them() -> None:
    features = text_and_image()
    adapters = modality_adapters(feature_table(features), embed_dim=2, adapter=StandardizedAdapter)
    for name, rows in features.items():
        present = rows[abs(rows).sum(axis=1) > 0]
        torch.testing.assert_close(adapters[name].mean, torch.tensor(present.mean(axis=0)))
        centred = present - present.mean(axis=0)
        size = torch.tensor((centred**2).mean() ** 0.5)
        torch.testing.assert_close(adapters[name].size, size)
