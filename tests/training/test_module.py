from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from missrec.training.module import RecommenderModule
from missrec.types import DomainSpan, SequenceBatch, TrainingLoss
from synthetic import (
    prepared_domain,
    random_sequences,
    sequence_batch,
    sequence_datamodule,
    write_domain_folder,
)

FIRST, SECOND = DomainSpan("first", 1, 3), DomainSpan("second", 4, 6)
NUM_ITEMS = 30
IDENTITY = {"first": {"items": "1f", "features": {"text": {"values": "2e", "encoder": {"n": 1}}}}}


class FixedScores(nn.Module):
    """Scores item i by entry i - 1 of a table; its loss is the mean target id plus the weight."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("item_scores", torch.tensor([math.nan, *scores]))
        self.weight = nn.Parameter(torch.zeros(()))
        self.frozen = nn.Parameter(torch.zeros(()), requires_grad=False)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        mean_target = batch.target_ids.float().mean()
        return TrainingLoss(mean_target + self.weight, {"twice": 2 * mean_target})

    def encode(self, batch: SequenceBatch) -> Tensor:
        return torch.ones(len(batch.user_ids), 1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        return self.get_buffer("item_scores")[item_ids]

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded * candidates


class HistoryScores(nn.Module):
    """Scores every item by a fixed random function of it and of the history's items."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("vectors", torch.randn(NUM_ITEMS + 1, 4, generator=generator))

    def encode(self, batch: SequenceBatch) -> Tensor:
        return (self.get_buffer("vectors")[batch.item_ids] * batch.valid_mask[..., None]).sum(dim=1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        return self.get_buffer("vectors")[item_ids].round()  # ties are likely

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded.round() @ candidates.T


def module(model: nn.Module, *spans: DomainSpan, filter_seen: bool = False) -> RecommenderModule:
    return RecommenderModule(
        model=model,
        optimizer=partial(torch.optim.SGD, lr=0.5),
        spans=spans,
        cutoffs=[1, 10],
        filter_seen=filter_seen,
        users_per_tile=512,
        items_per_tile=16384,
        identity=IDENTITY,
    )


def trainer(**changes: Any) -> Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "deterministic": True,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "max_epochs": 1,
    }
    return Trainer(**settings | changes)


def loader(*batches: SequenceBatch) -> DataLoader[SequenceBatch]:
    return DataLoader(list(batches), batch_size=None)  # type: ignore[arg-type]


def validated(
    lightning: RecommenderModule, *loaders: DataLoader[SequenceBatch]
) -> dict[str, float]:
    (first, *others) = trainer().validate(lightning, list(loaders), verbose=False)
    metrics = dict(first)
    for other in others:
        metrics |= other
    return metrics


def test_ranks_are_over_the_items_of_the_own_domain() -> None:
    model = FixedScores([1, 2, 3, 10, 20, 30])
    lightning = module(model, FIRST, SECOND)
    # Item 3 is the best of the first domain, though all of the second score higher; item 4 is the
    # last of the second, though it beats all of the first.
    metrics = validated(
        lightning, loader(sequence_batch([[1, 2]], [3])), loader(sequence_batch([[5, 6]], [4]))
    )
    assert metrics["val/first/ndcg@10"] == 1
    assert metrics["val/second/ndcg@10"] == pytest.approx(1 / math.log2(1 + 3))
    assert metrics["val/ndcg@10"] == pytest.approx((1 + 0.5) / 2)
    assert (metrics["val/first/recall@1"], metrics["val/second/recall@1"]) == (1, 0)


def test_one_domain_has_no_metrics_of_its_own() -> None:
    metrics = validated(
        module(FixedScores([1, 2, 3]), FIRST), loader(sequence_batch([[1, 2]], [3]))
    )
    assert metrics["val/ndcg@10"] == 1
    assert not [key for key in metrics if "first" in key]


@pytest.mark.parametrize(
    ("history", "target", "rank", "rank_without_seen"),
    [
        ([6], 5, 3, 2),
        ([6, 4], 5, 3, 1),
        ([6, 4, 6, 5], 5, 3, 1),  # the target itself was seen: it stays
        ([6, 5], 4, 2, 1),
        ([5], 6, 1, 1),
    ],
)
def test_filter_seen_leaves_out_the_history_but_not_the_target(
    history: list[int], target: int, rank: int, rank_without_seen: int
) -> None:
    padded = sequence_batch([history], [target], width=5)
    for filter_seen, expected in ((False, rank), (True, rank_without_seen)):
        model = FixedScores([1, 2, 3, 20, 10, 30])
        metrics = validated(module(model, SECOND, filter_seen=filter_seen), loader(padded))
        assert metrics["val/mrr@10"] == pytest.approx(1 / expected)


def trained(lightning: RecommenderModule, *batches: SequenceBatch) -> Trainer:
    fit = trainer(log_every_n_steps=1)
    fit.fit(lightning, loader(*batches), loader(*batches))
    return fit


def naive_ndcg(model: HistoryScores, sequences: list[list[int]], *, k: int) -> float:
    """NDCG@k of the last item of each sequence, one user at a time; ties in any order."""
    total = 0.0
    for sequence in sequences:
        batch = sequence_batch([sequence[:-1]], [sequence[-1]])
        candidates = model.candidates(torch.arange(1, NUM_ITEMS + 1))
        scores = model.score(model.encode(batch), candidates)[0].tolist()
        own = scores[sequence[-1] - 1]
        above, alike = sum(score > own for score in scores), scores.count(own)
        places = range(above + 1, above + alike + 1)
        total += sum(1 / math.log2(rank + 1) for rank in places if rank <= k) / alike
    return total / len(sequences)


def test_ndcg_of_validation_and_test_is_the_naive_one(tmp_path: Path) -> None:
    sequences = random_sequences(num_users=25, num_items=NUM_ITEMS)
    prepared = prepared_domain(sequences, num_items=NUM_ITEMS)
    datamodule = sequence_datamodule(
        write_domain_folder(tmp_path / "tiny", prepared), batch_size=8, eval_batch_size=7
    )
    datamodule.setup()
    model = HistoryScores()
    lightning = module(model, *datamodule.domains.spans)
    (validation,) = trainer().validate(lightning, datamodule=datamodule, verbose=False)
    (test,) = trainer().test(lightning, datamodule=datamodule, verbose=False)
    without_last = [sequence[:-1] for sequence in sequences]
    for metrics, stage, part in ((validation, "val", without_last), (test, "test", sequences)):
        for k in (1, 10):
            expected = naive_ndcg(model, part, k=k)
            assert metrics[f"{stage}/ndcg@{k}"] == pytest.approx(expected, rel=1e-5)
    assert 0 < test["test/ndcg@10"] < 1


def test_after_the_test_every_user_has_its_rank_by_domain() -> None:
    lightning = module(FixedScores([1, 2, 3, 10, 20, 30]), FIRST, SECOND)
    loaders = [
        loader(sequence_batch([[1], [2], [3]], [1, 3, 2])),
        loader(sequence_batch([[4, 5]], [5])),
    ]
    trainer().test(lightning, loaders, verbose=False)
    first, second = lightning.target_ranks
    assert (first.user_ids.tolist(), first.ranks.tolist()) == ([0, 1, 2], [3, 1, 2])
    assert (second.target_ids.tolist(), second.ranks.tolist()) == ([5], [2])


def test_validating_twice_starts_afresh() -> None:
    lightning = module(FixedScores([1, 2, 3]), FIRST)
    assert validated(lightning, loader(sequence_batch([[1]], [3])))["val/recall@1"] == 1
    other_users = sequence_batch([[1], [1]], [2, 2])
    assert validated(lightning, loader(other_users))["val/recall@1"] == 0


def test_logged_losses_are_means_over_the_sequences() -> None:
    batches = [sequence_batch([[1], [1], [1]], [1, 1, 1]), sequence_batch([[1]], [3])]
    fit = trained(module(FixedScores([1, 2, 3]), FIRST), *batches)
    # The weight starts at 0 and moves by -0.5 before the second batch.
    assert fit.callback_metrics["train/loss"].item() == (3 * 1 + 1 * (3 - 0.5)) / 4
    assert fit.callback_metrics["train/loss_twice"].item() == 2 * (1 + 1 + 1 + 3) / 4


def test_the_optimizer_has_the_parameters_that_need_a_gradient() -> None:
    model = FixedScores([1, 2, 3])
    lightning = module(model, FIRST)
    trained(lightning, *[sequence_batch([[1]], [3])] * 3)
    assert model.weight.item() == 0 - 3 * 0.5
    assert model.frozen.item() == 0
    (group,) = lightning.configure_optimizers().param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(model.weight)]


def test_the_state_of_a_checkpoint_holds_each_tensor_of_the_model_once() -> None:
    lightning = module(FixedScores([1, 2, 3]), FIRST)
    assert set(lightning.state_dict()) == {"model.item_scores", "model.weight", "model.frozen"}


def test_a_checkpoint_says_what_data_it_was_made_on_in_plain_values(tmp_path: Path) -> None:
    used = trainer()
    used.validate(module(FixedScores([0.0] * 3), FIRST), loader(sequence_batch([[1]], [2])))
    used.save_checkpoint(tmp_path / "a.ckpt")
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["data"] == IDENTITY


def test_random_numbers_go_on_from_those_of_a_gpu_and_of_fewer_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lightning = module(FixedScores([1, 2, 3]), FIRST)
    trainer = SimpleNamespace(optimizers=[])
    lightning.trainer = trainer
    saved = torch.get_rng_state()
    drawn = torch.rand(3)
    of_a_gpu = torch.zeros(16, dtype=torch.uint8)
    lightning.on_load_checkpoint({"random_states": [[saved, of_a_gpu]]})
    lightning.on_train_start()
    assert torch.equal(torch.rand(3), drawn)

    lightning.on_load_checkpoint({"random_state": [saved]})  # as older checkpoints have it
    lightning.on_train_start()
    assert torch.equal(torch.rand(3), drawn)

    monkeypatch.setattr("missrec.training.module.process_index", lambda: 1)
    lightning.on_load_checkpoint({"random_states": [[saved]]})
    lightning.on_train_start()
    assert not torch.equal(torch.rand(3), drawn)
