from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from missrec.interests.clustering import DPCKNN
from missrec.interests.index import InterestIndex
from missrec.models.missrec import MISSRec
from missrec.models.most_popular import MostPopular
from missrec.nn.adapters import LinearAdapter
from missrec.nn.fusion import DynamicFusion
from missrec.nn.sequence_networks import EncoderDecoder
from missrec.nn.transformer import BlockSettings
from missrec.objectives.contrastive import SequenceContrast
from missrec.objectives.orthogonality import orthogonality
from missrec.objectives.ranking import FullSoftmax
from missrec.training.callbacks import RefreshInterests, Throughput
from missrec.training.module import RecommenderModule
from missrec.types import DomainSpan, InterestReport, SequenceBatch, TrainingLoss
from synthetic import (
    catalogue,
    prepared_domain,
    random_sequences,
    sequence_batch,
    sequence_datamodule,
    text_and_image,
    write_domain_folder,
)

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
    )


def trainer(callbacks: Sequence[Callback], *, max_epochs: int) -> Trainer:
    return Trainer(
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
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


def missrec(*, dropout_prob: float) -> MISSRec:
    return MISSRec(
        catalogue=catalogue(SEQUENCES, features=FEATURES),
        embed_dim=8,
        max_seq_len=10,
        adapter=LinearAdapter,
        network=partial(
            EncoderDecoder,
            block=BlockSettings(
                num_heads=2, feedforward_dim=8, dropout_prob=dropout_prob, layer_norm_eps=1e-5
            ),
            num_encoder_blocks=1,
            num_decoder_blocks=1,
            init_std=None,
        ),
        interests=partial(
            InterestIndex,
            ratio=0.5,
            clustering=DPCKNN(
                num_neighbors=3,
                include_self=False,
                scale_distances=False,
                break_ties=True,
                mean_prototypes=True,
                block_bytes=1 << 20,
            ),
            normalize_tokens=False,
            padding_slot=False,
        ),
        fusion=partial(DynamicFusion, initial_alpha=1.0, positive=True, per_item=False),
        objective=FullSoftmax(padding_candidate=False),
        temperature=0.1,
        orthogonality=orthogonality,
        orthogonality_weight=0.1,
        contrast=SequenceContrast(temperature=0.1, include_self=False),
        contrast_weight=1.0,
        feature_dropout_prob=dropout_prob,
        item_ids=True,
        normalize_ids=False,
        modality_weight=1.0,
        id_weight=1.0,
        positions_from_end=True,
        missing_as_zeros=False,
    )


@pytest.fixture(scope="module")
def domain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepared_domain(SEQUENCES, num_items=NUM_ITEMS, features=FEATURES)
    return write_domain_folder(tmp_path_factory.mktemp("data") / "tiny", prepared)


def fit_from_scratch_or_resume(
    folder: Path,
    checkpoints: Path,
    *,
    max_epochs: int,
    resume: bool,
    every_n_epochs: int,
    dropout_prob: float,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State of the module and metrics after a run from its start or from its last checkpoint."""
    seed_everything(1, verbose=False)
    datamodule = sequence_datamodule(folder, max_seq_len=10)
    module = lightning_module(missrec(dropout_prob=dropout_prob))
    checkpoint = ModelCheckpoint(
        dirpath=checkpoints, monitor="val/ndcg@10", mode="max", save_top_k=1, save_last=True
    )
    callbacks = [RefreshInterests(every_n_epochs=every_n_epochs), checkpoint]
    fit = trainer(callbacks, max_epochs=max_epochs)
    last = checkpoints / "last.ckpt" if resume else None
    fit.fit(module, datamodule=datamodule, ckpt_path=last, weights_only=True)
    metrics = dict(fit.callback_metrics)
    metrics.pop("interests/refresh_sec", None)
    return dict(module.state_dict()), metrics


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("dropout_prob", [0.0, 0.5])
@pytest.mark.parametrize("every_n_epochs", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, domain_folder: Path, dropout_prob: float, every_n_epochs: int
) -> None:
    run = partial(
        fit_from_scratch_or_resume,
        domain_folder,
        dropout_prob=dropout_prob,
        every_n_epochs=every_n_epochs,
    )
    state, metrics = run(tmp_path / "straight", max_epochs=4, resume=False)
    half_way, _ = run(tmp_path / "resumed", max_epochs=2, resume=False)
    resumed_state, resumed_metrics = run(tmp_path / "resumed", max_epochs=4, resume=True)
    assert not half_way["model.positions.weight"].equal(state["model.positions.weight"])
    assert {"val/ndcg@10", "train/loss"} <= set(metrics)
    torch.testing.assert_close(resumed_state, state, rtol=0, atol=0)
    torch.testing.assert_close(resumed_metrics, metrics, rtol=0, atol=0)
