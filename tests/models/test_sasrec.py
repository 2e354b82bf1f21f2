from __future__ import annotations

from typing import Any

import torch

from models.reference import (
    assert_scores_agree,
    batch_of,
    build_drawn,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    weights,
)
from synthetic import sequence_batch


def from_reference(*overrides: str) -> Any:
    theirs = weights("sasrec")
    state = encoder_state(theirs) | {"items.weight": theirs["item_embedding.weight"]}
    return build_with(state, "model=sasrec", *overrides)


@needs_fixtures
def test_scores_are_recboles() -> None:
    assert_scores_agree(from_reference(), "sasrec")


@needs_fixtures
def test_loss_is_recboles_softmax_whose_candidates_include_padding() -> None:
    loss = from_reference("objective=full_softmax_released").training_loss(batch_of("sasrec"))
    torch.testing.assert_close(
        loss.total.detach(), reference("sasrec")["loss"][0], rtol=1e-5, atol=1e-5
    )


def test_all_positions_learn_what_every_prefix_would() -> None:
    histories, targets = [[4, 9, 2, 31], [7], [12, 12, 5]], [8, 3, 40]
    prefixes, following = [], []
    for history, target in zip(histories, targets, strict=True):
        whole = [*history, target]
        prefixes += [whole[:end] for end in range(1, len(whole))]
        following += whole[1:]
    model = build_drawn("model=sasrec")
    expected = model.training_loss(sequence_batch(prefixes, following)).total
    together = build_drawn("model=sasrec", "samples=sequences")
    loss = together.training_loss(sequence_batch(histories, targets, width=6)).total
    torch.testing.assert_close(loss, expected)
    names = [name for name, _ in model.named_parameters() if not name.endswith("key.bias")]
    for name in names:
        gradients = [
            torch.autograd.grad(value, module.get_parameter(name), retain_graph=True)[0]
            for value, module in ((loss, together), (expected, model))
        ]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_an_item_is_read_by_later_positions_only() -> None:
    model = build_drawn("model=sasrec")
    batch = sequence_batch([[4, 9, 2, 31]], [8])
    changed = batch._replace(item_ids=torch.tensor([[4, 9, 3, 31]]))
    with torch.no_grad():
        before, after = (
            model.encoder(model.items(b.item_ids), valid_mask=b.valid_mask, causal=True)
            for b in (batch, changed)
        )
    assert before[:, :2].equal(after[:, :2])
    assert not before[:, 2:].isclose(after[:, 2:]).all(dim=-1).any()


def test_next_ids_are_the_sequence_shifted_with_the_target_at_its_end() -> None:
    batch = sequence_batch([[4, 9, 2], [7], [5, 6]], [8, 3, 1])
    assert batch.next_ids.tolist() == [[9, 2, 8], [3, 0, 0], [6, 1, 0]]
