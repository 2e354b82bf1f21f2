from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.nn import functional as F

from missrec.types import SequenceBatch
from models.reference import (
    CONF,
    NUM_ITEMS,
    assert_scores_agree,
    batch_of,
    build_drawn,
    build_with,
    encoder_state,
    needs_fixtures,
    weights,
)
from synthetic import sequence_batch

LONGEST = 10
"""Positions of the fixture, the mask's among them."""
HISTORIES = [[4, 9, 2, 31], [7], [12, 12, 5], [*range(20, 30)], [*range(1, 10)]]
TARGETS = [8, 3, 40, 33, 17]


def from_reference(*overrides: str) -> Any:
    theirs = weights("bert4rec")
    state = encoder_state(theirs) | {
        "items.weight": theirs["item_embedding.weight"][:-1],
        "mask": theirs["item_embedding.weight"][-1],
        "output.0.weight": theirs["output_ffn.weight"],
        "output.0.bias": theirs["output_ffn.bias"],
        "output.2.weight": theirs["output_ln.weight"],
        "output.2.bias": theirs["output_ln.bias"],
        "bias": theirs["output_bias"],
    }
    return build_with(state, "model=bert4rec", *overrides)


def drawn(*overrides: str) -> Any:
    return build_drawn("model=bert4rec", *overrides)


def scores_of(model: Any, batch: SequenceBatch) -> Tensor:
    with torch.no_grad():
        scores: Tensor = model.score(
            model.encode(batch), model.candidates(torch.arange(1, NUM_ITEMS + 1))
        )
    return scores


def naive_scores(model: Any, item_ids: list[int], *, hidden: set[int], at: int) -> Tensor:
    """(N,) what equation 7 says of one position of one sequence."""
    embeddings = model.items.weight
    sequence = [model.mask if i in hidden else embeddings[item] for i, item in enumerate(item_ids)]
    encoded = model.encoder(
        torch.stack(sequence)[None],
        valid_mask=torch.ones(1, len(item_ids), dtype=torch.bool),
        causal=False,
    )[0, at]
    linear = model.output[0].weight @ encoded + model.output[0].bias
    activated = linear * (1 + torch.erf(linear / math.sqrt(2))) / 2
    centered = activated - activated.mean()
    normed = centered / torch.sqrt(centered.square().mean() + 1e-12)
    normed = normed * model.output[2].weight + model.output[2].bias
    return torch.stack([normed @ embeddings[v] + model.bias[v] for v in range(1, NUM_ITEMS + 1)])


@needs_fixtures
def test_scores_are_recboles_which_drops_the_oldest_item_of_every_history() -> None:
    batch = batch_of("bert4rec")
    dropped = batch._replace(item_ids=batch.item_ids[:, 1:])
    assert_scores_agree(from_reference(), "bert4rec", batch=dropped)


def test_scores_are_those_of_a_mask_after_the_most_recent_items_that_fit() -> None:
    model = drawn()
    scores = scores_of(model, sequence_batch(HISTORIES, TARGETS))
    for row, history in zip(scores, HISTORIES, strict=True):
        kept = history[-(LONGEST - 1) :]
        with torch.no_grad():
            expected = naive_scores(model, [*kept, 0], hidden={len(kept)}, at=len(kept))
        torch.testing.assert_close(row, expected)


@pytest.mark.parametrize("width", [LONGEST + 1, 30])
def test_histories_as_long_as_the_positions_may_be_padded(width: int) -> None:
    model, batch = drawn(), sequence_batch(HISTORIES, TARGETS)
    padded = sequence_batch(HISTORIES, TARGETS, width=width)
    torch.testing.assert_close(scores_of(model, padded), scores_of(model, batch))


def test_loss_is_that_of_each_hidden_item_seen_from_both_sides() -> None:
    model = drawn("model.cloze.mask_prob=0.4", "model.cloze.last_only_prob=0.3")
    wholes = [[*h, t][-LONGEST:] for h, t in zip(HISTORIES, TARGETS, strict=True)]
    torch.manual_seed(5)
    loss = model.training_loss(sequence_batch(HISTORIES, TARGETS)).total
    torch.manual_seed(5)
    lengths = torch.tensor([len(whole) for whole in wholes])
    hidden_items = model.cloze(torch.arange(LONGEST) < lengths[:, None])
    losses = []
    for whole, row in zip(wholes, hidden_items, strict=True):
        hidden = set(row.nonzero().flatten().tolist())
        for at in hidden:
            scores = naive_scores(model, whole, hidden=hidden, at=at)
            losses.append(-scores.log_softmax(dim=0)[whole[at] - 1])
    assert len(losses) > len(wholes)
    naive = torch.stack(losses).mean()
    torch.testing.assert_close(loss, naive)
    names = [name for name, _ in model.named_parameters() if not name.endswith("key.bias")]
    for name in names:
        found, expected = (
            torch.autograd.grad(value, model.get_parameter(name), retain_graph=True)[0]
            for value in (loss, naive)
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_hiding_the_last_item_alone_trains_what_is_predicted() -> None:
    model = drawn("model.cloze.last_only_prob=1.0")
    batch = sequence_batch(HISTORIES, TARGETS)
    expected = F.cross_entropy(scores_of(model, batch), batch.target_ids - 1)
    torch.testing.assert_close(model.training_loss(batch).total.detach(), expected)


def test_the_objective_chooses_the_candidates_among_the_hidden_items() -> None:
    model = drawn("model.cloze.last_only_prob=1.0", "objective=in_batch_softmax")
    batch = sequence_batch([[4, 9], [7], [5, 6, 1]], [8, 3, 8])
    columns = torch.tensor([3, 8])
    with torch.no_grad():
        scores = model.score(model.encode(batch), model.candidates(columns))
    scores[1, 1] += math.log(2)  # item 8 is the target of two other rows
    expected = F.cross_entropy(scores, torch.tensor([1, 0, 1]))
    torch.testing.assert_close(model.training_loss(batch).total.detach(), expected)


@pytest.mark.parametrize(
    ("overrides", "prefixes", "repeats"),
    [
        ([], True, 1),
        (["samples=repeated_sequences"], False, 10),
        (["samples=repeated_sequences", "samples.repeats=3"], False, 3),
    ],
)
def test_prefixes_are_the_samples_unless_the_command_says_otherwise(
    overrides: list[str], prefixes: bool, repeats: int
) -> None:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*overrides, "model=bert4rec"])
    assert (cfg.datamodule.prefixes, cfg.datamodule.repeats) == (prefixes, repeats)
