from __future__ import annotations

import torch
from torch.nn import functional as F

from missrec.nn.adapters import BottleneckAdapter, LinearAdapter

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
