from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.models import s3rec
from missrec.models.s3rec import SelfSupervision, TaskWeights
from missrec.nn.adapters import LinearAdapter
from missrec.nn.item_embeddings import FeatureEmbedding
from models.reference import (
    NUM_ITEMS,
    assert_scores_agree,
    batch_of,
    build_drawn,
    build_with,
    encoder_state,
    needs_fixtures,
    reference,
    weights,
)
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

TASKS = ("aap", "mip", "map", "sp")
TASK_WEIGHTS = {"aap": 1.0, "mip": 0.2, "map": 1.0, "sp": 0.5}
PRETRAINING = "model.self_supervised=true"
SEQUENCES = [[4, 9, 2, 31, 8], [7], [12, 12, 5], [1, 2, 3, 4, 5, 6, 7]]
WITHOUT_TEXT = [2, 12, 40]


def state(*, self_supervised: bool) -> dict[str, Tensor]:
    """The fixture's weights under our names; the last row of its item table is the mask."""
    theirs = weights("s3rec")
    table = theirs["item_embedding.weight"]
    ours = encoder_state(theirs) | {"items.weight": table[:-1]}
    if not self_supervised:
        return ours
    ours["tasks.mask"] = table[-1]
    for part in ("weight", "bias"):
        ours[f"tasks.texts.adapter.text.0.{part}"] = theirs[f"adapter.mlp_layers.1.{part}"]
        for task in TASKS:
            ours[f"tasks.maps.{task}.{part}"] = theirs[f"{task}_norm.{part}"]
    return ours


def pretrained(*overrides: str, missing: Sequence[int] = ()) -> Any:
    """A model in its first stage, without the texts of `missing` items."""
    return build_drawn("model=s3rec", PRETRAINING, *overrides, missing=missing)


def fresh(**changes: Any) -> SelfSupervision:
    settings: dict[str, Any] = {
        "catalogue": catalogue(features={"text": raw_features(width=4)}),
        "embed_dim": 6,
        "texts": lambda **parts: FeatureEmbedding(adapter=LinearAdapter, **parts),
        "mask_prob": 0.2,
        "weights": TaskWeights(**TASK_WEIGHTS),
        "init_std": 0.02,
    }
    return SelfSupervision(**{**settings, **changes})


def padded(sequences: list[list[int]]) -> Tensor:
    return sequence_batch(
        sequences, [1] * len(sequences), width=max(map(len, sequences)) + 1
    ).item_ids


def terms(model: Any, item_ids: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = model.tasks(item_ids, items=model.items, encoder=model.encoder).terms
    return found


@needs_fixtures
@pytest.mark.parametrize("self_supervised", [False, True])
def test_scores_are_those_of_the_reference_in_either_stage(*, self_supervised: bool) -> None:
    switch = f"model.self_supervised={str(self_supervised).lower()}"
    model = build_with(state(self_supervised=self_supervised), "model=s3rec", switch)
    assert_scores_agree(model, "s3rec")


@needs_fixtures
def test_fine_tuning_learns_the_next_item_among_all() -> None:
    model = build_with(state(self_supervised=False), "model=s3rec")
    loss = model.training_loss(batch_of("s3rec"))
    scores, targets = reference("s3rec")["logits"][:, 1:], reference("s3rec")["target_ids"] - 1
    torch.testing.assert_close(loss.total, F.cross_entropy(scores, targets), rtol=1e-5, atol=1e-5)
    assert set(loss.terms) == {"ranking"}


class Draws:
    """What a loss has drawn: hidden items, other items, segments and their replacements."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[str, Tensor] = {}
        for owner, name in (
            (SelfSupervision, "_draw_hidden"),
            (SelfSupervision, "_draw_others"),
            (s3rec, "draw_segments"),
            (s3rec, "draw_replacements"),
        ):
            monkeypatch.setattr(owner, name, self.recorded(name.strip("_"), getattr(owner, name)))

    def recorded(self, name: str, draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*arguments: Any) -> Tensor:
            self.values[name] = draw(*arguments)
            return self.values[name]

        return drawn


class Naive:
    """The four losses by loops over sequences and places, without padding."""

    def __init__(self, model: Any, *, without_text: list[int]) -> None:
        self.model, self.tasks, self.without_text = model, model.tasks, without_text

    def text(self, item: int) -> Tensor:
        linear = self.tasks.texts.adapter["text"][0]
        features = self.tasks.texts.features.lookup(0, torch.tensor([item]))[0]
        return (linear.weight @ features + linear.bias).clamp_min(0)

    def encoded(self, item_ids: list[int], hidden: list[bool]) -> Tensor:
        """(L, D) of one sequence in both directions."""
        rows = [
            self.tasks.mask if is_hidden else self.model.items.weight[item]
            for item, is_hidden in zip(item_ids, hidden, strict=True)
        ]
        valid_mask = torch.ones(1, len(rows), dtype=torch.bool)
        encoded: Tensor = self.model.encoder(
            torch.stack(rows)[None], valid_mask=valid_mask, causal=False
        )
        return encoded[0]

    def loss(self, task: str, anchor: Tensor, partner: Tensor, other: Tensor) -> Tensor:
        mapped = self.tasks.maps[task].weight @ anchor + self.tasks.maps[task].bias
        difference = torch.sigmoid(mapped @ partner) - torch.sigmoid(mapped @ other)
        return -torch.log(torch.sigmoid(difference))

    def losses(self, sequences: list[list[int]], draws: dict[str, Tensor]) -> dict[str, Tensor]:
        totals = {task: torch.zeros(()) for task in TASKS}
        for row, sequence in enumerate(sequences):
            hidden, others, segment, replaced = (
                draws[name][row, : len(sequence)].tolist()
                for name in ("draw_hidden", "draw_others", "draw_segments", "draw_replacements")
            )
            context = self.encoded(sequence, hidden)
            for place, (item, other) in enumerate(zip(sequence, others, strict=True)):
                has_texts = not {item, other} & {*self.without_text}
                own, negative = self.model.items.weight[item], self.model.items.weight[other]
                if has_texts:
                    texts = self.text(item), self.text(other)
                    totals["aap"] = totals["aap"] + self.loss("aap", own, *texts)
                if hidden[place]:
                    step = self.loss("mip", context[place], own, negative)
                    totals["mip"] = totals["mip"] + step
                if hidden[place] and has_texts:
                    totals["map"] = totals["map"] + self.loss("map", context[place], *texts)
            if any(segment):
                outside = [not inside for inside in segment]
                around = self.encoded(sequence, segment)[-1]
                of_segment = self.encoded(sequence, outside)[-1]
                of_other = self.encoded(replaced, outside)[-1]
                totals["sp"] = totals["sp"] + self.loss("sp", around, of_segment, of_other)
        return {task: total / len(sequences) for task, total in totals.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_four_losses_equal_loops_over_places(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = Draws(monkeypatch)
    model = pretrained("model.tasks.mask_prob=0.4", missing=WITHOUT_TEXT)
    torch.manual_seed(seed)
    found = model.tasks(padded(SEQUENCES), items=model.items, encoder=model.encoder)
    expected = Naive(model, without_text=WITHOUT_TEXT).losses(SEQUENCES, draws.values)
    assert all(value > 0 for value in expected.values())
    torch.testing.assert_close(found.terms, expected)
    total = sum(TASK_WEIGHTS[task] * loss for task, loss in expected.items())
    torch.testing.assert_close(found.total, total)
    for name, parameter in model.named_parameters():
        if name.endswith("key.bias"):  # it leaves the attention as it is
            continue
        gradients = [
            torch.autograd.grad(loss, parameter, retain_graph=True)[0]
            for loss in (found.total, total)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_what_is_hidden_and_what_stands_against_it_is_drawn_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = Draws(monkeypatch)
    model = pretrained("model.tasks.mask_prob=0.3")
    item_ids = padded(random_sequences(num_users=600, num_items=NUM_ITEMS, longest=9))
    torch.manual_seed(0)
    terms(model, item_ids)
    real = item_ids > 0
    hidden, others = draws.values["draw_hidden"], draws.values["draw_others"]
    assert not hidden[~real].any()
    assert hidden[real].float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not (others == item_ids).any()
    of_one = others[item_ids == 17].bincount(minlength=NUM_ITEMS + 1) / (item_ids == 17).sum()
    assert others.min() == 1
    assert others.max() == NUM_ITEMS
    assert of_one[17] == 0
    assert of_one.max() < 0.1


def test_the_draws_are_torchs_alone() -> None:
    model, item_ids = pretrained(), padded(SEQUENCES)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(terms(model, item_ids))
    assert losses[0] == losses[1]
    assert all(losses[0][task] != losses[2][task] for task in TASKS)


def test_a_sequence_of_one_item_has_no_segment_and_takes_part_in_the_other_tasks() -> None:
    model = pretrained("model.tasks.mask_prob=1")
    loss = model.tasks(torch.tensor([[7]]), items=model.items, encoder=model.encoder)
    loss.total.backward()
    assert loss.terms["sp"] == 0
    assert all(loss.terms[task] > 0 for task in ("aap", "mip", "map"))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    nothing_hidden = terms(pretrained("model.tasks.mask_prob=0"), torch.tensor([[7]]))
    assert [nothing_hidden[task].item() for task in ("mip", "map", "sp")] == [0, 0, 0]


def test_items_without_text_take_no_part_in_the_tasks_of_texts() -> None:
    model = pretrained("model.tasks.mask_prob=1", missing=[7, 8])
    losses = terms(model, torch.tensor([[7, 8, 7]]))
    assert losses["aap"] == losses["map"] == 0
    assert losses["mip"] > 0
    everything_missing = pretrained("model.tasks.mask_prob=1", missing=[*range(1, 41)])
    assert terms(everything_missing, torch.tensor([[1, 2, 3]]))["map"] == 0


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (3, [[4, 9, 2, 8], [7, 3, 0, 0]]),
        (10, [[4, 9, 2, 8] + [0] * 6, [7, 3] + [0] * 8]),  # no position for an eleventh
    ],
)
def test_pretraining_reads_whole_sequences(width: int, expected: list[list[int]]) -> None:
    assert whole_sequences([[4, 9, 2], [7]], [8, 3], width=width) == expected


def test_a_sequence_too_long_keeps_its_most_recent_items() -> None:
    found = whole_sequences([[*range(1, 11)], [*range(11, 20)]], [30, 31], width=10)
    assert found == [[*range(2, 11), 30], [*range(11, 20), 31]]


def whole_sequences(histories: list[list[int]], targets: list[int], *, width: int) -> Any:
    """What the tasks are given of a batch."""
    model, given = pretrained(), []
    model.tasks.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    model.training_loss(sequence_batch(histories, targets, width=width))
    return given[0].tolist()


def test_every_parameter_learns_in_the_first_stage_and_all_tasks_together_fall() -> None:
    histories = random_sequences(num_users=8, num_items=NUM_ITEMS, shortest=4, longest=9, seed=1)
    batch = sequence_batch(histories, [4, 11, 4, 17, 1, 24, 6, 13])
    model = pretrained("model.tasks.mask_prob=0.5", "model.encoder.block.dropout_prob=0").train()
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def mean_loss() -> Tensor:
        with torch.no_grad():
            return torch.stack([model.training_loss(batch).total for _ in range(20)]).mean()

    before = mean_loss()
    for step in range(100):
        optimizer.zero_grad()
        model.training_loss(batch).total.backward()
        if step == 0:
            without = {
                name
                for name, parameter in model.named_parameters()
                if parameter.grad is None or not parameter.grad.any()
            }
            assert all(name.endswith("attention.key.bias") for name in without)
        optimizer.step()
    assert mean_loss() < 0.7 * before  # f is bounded: no better than 0.45


@pytest.mark.parametrize("mask_prob", [-0.1, 1.1])
def test_a_share_of_hidden_items_outside_its_range_is_refused(mask_prob: float) -> None:
    with pytest.raises(ValueError, match=rf"mask_prob \({mask_prob}\) must be in \[0, 1\]"):
        fresh(mask_prob=mask_prob)


def test_a_catalogue_without_negatives_is_refused() -> None:
    single = catalogue([[1]], features={"text": raw_features(num_items=1, width=4)})
    with pytest.raises(ValueError, match=r"num_items \(1\) must be at least 2"):
        fresh(catalogue=single)


def test_the_first_stage_needs_features() -> None:
    with pytest.raises(ValueError, match="this model reads features"):
        fresh(catalogue=catalogue(features={}, num_items=6))
