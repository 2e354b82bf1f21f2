from __future__ import annotations

import pytest
import torch
from torch import Tensor

from missrec.nn.gru import GRUEncoder

WIDTH = 4


def encoder(*, num_layers: int = 1, dropout_prob: float = 0.0) -> GRUEncoder:
    torch.manual_seed(0)
    return GRUEncoder(embed_dim=WIDTH, num_layers=num_layers, dropout_prob=dropout_prob)


def naive_states(module: GRUEncoder, items: Tensor) -> Tensor:
    """The states (L, D) of one sequence (L, D), layer by layer and step by step."""
    layers = zip(*(iter(module.network.parameters()),) * 4, strict=True)
    for input_weight, state_weight, input_bias, state_bias in layers:
        state, states = torch.zeros(WIDTH), []
        for item in items:
            of_input = (input_weight @ item + input_bias).split(WIDTH)
            of_state = (state_weight @ state + state_bias).split(WIDTH)
            reset, update = (torch.sigmoid(of_input[gate] + of_state[gate]) for gate in (0, 1))
            proposed = torch.tanh(of_input[2] + reset * of_state[2])
            state = (1 - update) * proposed + update * state
            states.append(state)
        items = torch.stack(states)
    return items


@pytest.mark.parametrize("num_layers", [1, 2])
def test_states_are_those_of_the_equations(num_layers: int) -> None:
    module = encoder(num_layers=num_layers)
    items = torch.randn(3, 5, WIDTH)
    states = module(items, valid_mask=torch.ones(3, 5, dtype=torch.bool), causal=True)
    naive = torch.stack([naive_states(module, sequence) for sequence in items])
    torch.testing.assert_close(states, naive)


def test_the_items_are_dropped_out_in_training_only() -> None:
    module = encoder(dropout_prob=0.5)
    items, mask = torch.randn(3, 5, WIDTH), torch.ones(3, 5, dtype=torch.bool)
    first, second = (module(items, valid_mask=mask, causal=True) for _ in range(2))
    assert not first.isclose(second).all()
    module.eval()
    first, second = (module(items, valid_mask=mask, causal=True) for _ in range(2))
    assert first.equal(second)


def test_reading_both_ways_is_refused() -> None:
    with pytest.raises(ValueError, match="must be True: a GRU reads forwards only"):
        encoder()(torch.zeros(1, 2, WIDTH), valid_mask=torch.ones(1, 2).bool(), causal=False)
