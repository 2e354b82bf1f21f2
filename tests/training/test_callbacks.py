from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from missrec.models.most_popular import MostPopular
from missrec.training.callbacks import RefreshInterests, Throughput
from missrec.training.module import RecommenderModule
from missrec.types import DomainSpan, InterestReport, SequenceBatch, TrainingLoss
from synthetic import catalogue, random_sequences, sequence_batch, text_and_image

NUM_ITEMS = 20
SEQUENCES = random_sequences(num_users=20, num_items=NUM_ITEMS, shortest=4, longest=7)
FEATURES = text_and_image(num_items=NUM_ITEMS, missing_images=[2, 5, 9])


class Recorder(nn.Module):
    """A model that notes what is asked of it, and tells the time it takes."""

    def __init__(self, spend: Callable[[float], None] = lambda seconds: None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.events: list[str] = []
        self._spend = spend

    def refresh_interests(self) -> InterestReport:
        self.events.append("refresh")
        self._spend(1000)
        return InterestReport(num_live=7, drift=0.25)

    def training_loss(self, batch: SequenceBatch) -> TrainingLoss:
        self.events.append("batch")
        self._spend(2)
        return TrainingLoss(self.weight.square(), {})

    def encode(self, batch: SequenceBatch) -> Tensor:
        self._spend(100)
        return torch.ones(len(batch.user_ids), 1)

    def candidates(self, item_ids: Tensor) -> Tensor:
        return item_ids.float()

    def score(self, encoded: Tensor, candidates: Tensor) -> Tensor:
        return encoded * candidates


def lightning_module(model: nn.Module) -> RecommenderModule:
    return RecommenderModule(
        model=model,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        spans=[DomainSpan("tiny", 1, NUM_ITEMS)],
        cutoffs=[10],
        filter_seen=False,
        users_per_tile=512,
        items_per_tile=16384,
        identity={},
    )


def trainer(callbacks: Sequence[Callback], *, max_epochs: int) -> Trainer:
    return Trainer(
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=list(callbacks),
        max_epochs=max_epochs,
    )


def loader(*batches: SequenceBatch) -> DataLoader[SequenceBatch]:
    return DataLoader(list(batches), batch_size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("every_n_epochs", "refreshed_epochs"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (7, [0])]
)
def test_interests_are_refreshed_before_epochs_0_n_2n(
    every_n_epochs: int, refreshed_epochs: list[int]
) -> None:
    model = Recorder()
    fit = trainer([RefreshInterests(every_n_epochs=every_n_epochs)], max_epochs=5)
    batches = loader(sequence_batch([[1, 2]], [3]))
    fit.fit(lightning_module(model), batches, batches)
    expected = []
    for epoch in range(5):
        expected += ["refresh", "batch"] if epoch in refreshed_epochs else ["batch"]
    assert model.events == expected
    assert fit.callback_metrics["interests/live"] == 7
    assert fit.callback_metrics["interests/drift"] == 0.25


def test_a_model_without_interests_is_left_alone() -> None:
    model = lightning_module(MostPopular(catalogue=catalogue(SEQUENCES, features=FEATURES)))
    fit = trainer([], max_epochs=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    RefreshInterests(every_n_epochs=1).on_train_epoch_start(fit, model)
    assert not fit.callback_metrics
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("every_n_epochs", [-1, 0])
def test_refresh_period_below_one_is_refused(every_n_epochs: int) -> None:
    with pytest.raises(ValueError, match=rf"every_n_epochs \({every_n_epochs}\) must be at least"):
        RefreshInterests(every_n_epochs=every_n_epochs)


def test_throughput_counts_an_epochs_sequences_but_not_its_refresh_or_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=0.0)

    def spend(seconds: float) -> None:
        clock.now += seconds

    fake = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr("missrec.training.callbacks.time", fake)
    fit = trainer([RefreshInterests(every_n_epochs=1), Throughput()], max_epochs=2)
    batches = [sequence_batch([[1, 2]] * 4, [3] * 4), sequence_batch([[1, 2]] * 3, [3] * 3)]
    fit.fit(lightning_module(Recorder(spend)), loader(*batches), loader(*batches))
    assert fit.callback_metrics["train/sequences_per_sec"].item() == (4 + 3) / (2 + 2)
    assert fit.callback_metrics["interests/refresh_sec"].item() == 1000
