"""A run that is stopped anywhere and resumed equals the run that never stopped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint

from missrec.data.datamodule import SequenceDataModule
from missrec.interests.index import InterestIndex
from missrec.models.missrec import MISSRec
from missrec.nn.adapters import LinearAdapter
from missrec.nn.fusion import DynamicFusion
from missrec.nn.sequence_networks import EncoderDecoder
from missrec.nn.transformer import BlockSettings
from missrec.objectives.contrastive import SequenceContrast
from missrec.objectives.orthogonality import orthogonality
from missrec.objectives.ranking import FullSoftmax
from missrec.runs.checkpoints import resumable
from missrec.training.callbacks import MidEpochCheckpoint, RefreshInterests, Throughput
from missrec.training.checkpoints import strip_checkpoint
from missrec.training.module import RecommenderModule
from missrec.training.saving import RunCheckpoint, WholeCheckpoints
from missrec.types import DomainSpan
from synthetic import (
    catalogue,
    dpc_knn,
    prepared_domain,
    random_sequences,
    sequence_datamodule,
    text_and_image,
    write_domain_folder,
)

NUM_ITEMS = 20
SEQUENCES = random_sequences(num_users=20, num_items=NUM_ITEMS, shortest=4, longest=7)
FEATURES = text_and_image(num_items=NUM_ITEMS, missing_images=[2, 5, 9])
NUM_SAMPLES = sum(len(sequence) - 3 for sequence in SEQUENCES)
BATCH_SIZE = 8
EPOCH = -(-NUM_SAMPLES // BATCH_SIZE)
"""Steps of an epoch."""
NEVER = 10**6

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


class Killed(Exception):  # noqa: N818  # no error: the end of a process
    """Stands for a process that ends here."""


class KillAfter(Callback):
    """Ends the run when it has done a number of steps, before a batch or a validation."""

    def __init__(self, step: int) -> None:
        self._step = step

    def _kill(self, trainer: Trainer) -> None:
        if trainer.global_step == self._step:
            raise Killed

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._kill(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._kill(trainer)


class Refreshes(RefreshInterests):
    """Notes the epochs of the refreshes."""

    def __init__(self) -> None:
        super().__init__(every_n_epochs=1)
        self.epochs: list[int] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append(trainer.current_epoch)
        super().on_train_epoch_start(trainer, pl_module)


class Run(NamedTuple):
    """What a run ends with."""

    weights: dict[str, Any]
    optimizer: dict[str, Any]
    metrics: dict[str, Any]
    best: str


def missrec(*, dropout_prob: float) -> MISSRec:
    return MISSRec(
        catalogue=catalogue(SEQUENCES, features=FEATURES),
        embed_dim=8,
        max_seq_len=10,
        adapter=LinearAdapter,
        network=partial(
            EncoderDecoder,
            block=BlockSettings(
                num_heads=2,
                feedforward_dim=8,
                dropout_prob=dropout_prob,
                activation_dropout_prob=dropout_prob,
                layer_norm_eps=1e-5,
            ),
            num_encoder_blocks=1,
            num_decoder_blocks=1,
            init_std=None,
        ),
        interests=partial(
            InterestIndex,
            ratio=0.5,
            clustering=dpc_knn(num_neighbors=3),
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


def lightning_module(*, dropout_prob: float) -> RecommenderModule:
    return RecommenderModule(
        model=missrec(dropout_prob=dropout_prob),
        optimizer=partial(torch.optim.Adam, lr=0.01),
        spans=[DomainSpan("tiny", 1, NUM_ITEMS)],
        cutoffs=[10],
        filter_seen=False,
        users_per_tile=512,
        items_per_tile=16384,
        identity={},
    )


@pytest.fixture(scope="module")
def domain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepared_domain(SEQUENCES, num_items=NUM_ITEMS, features=FEATURES)
    return write_domain_folder(tmp_path_factory.mktemp("data") / "tiny", prepared)


def fit(
    datamodule: SequenceDataModule,
    run_dir: Path,
    *,
    max_epochs: int = 3,
    every_n_epochs: int = 1,
    dropout_prob: float = 0.5,
    every_n_train_steps: int = 1,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Starts a run, or continues it from its furthest checkpoint."""
    seed_everything(1, verbose=False)
    module = lightning_module(dropout_prob=dropout_prob)
    places: dict[str, Any] = {
        "dirpath": run_dir / "checkpoints",
        "enable_version_counter": False,
    }
    best = RunCheckpoint(**places, monitor="val/ndcg@10", mode="max", save_last=True)
    latest = MidEpochCheckpoint(
        **places, filename="latest", every_n_train_steps=every_n_train_steps
    )
    trainer = Trainer(
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=[RefreshInterests(every_n_epochs=every_n_epochs), best, latest, *callbacks],
        max_epochs=max_epochs,
        plugins=[WholeCheckpoints()],
    )
    resume_from = resumable(run_dir)
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume_from, weights_only=True)
    metrics = dict(trainer.callback_metrics)
    metrics.pop("interests/refresh_sec", None)
    return Run(
        weights=dict(module.state_dict()),
        optimizer=trainer.optimizers[0].state_dict(),
        metrics=metrics,
        best=Path(best.best_model_path).name,
    )


def data(folder: Path, *, num_workers: int = 0) -> SequenceDataModule:
    datamodule = sequence_datamodule(
        folder, max_seq_len=10, batch_size=BATCH_SIZE, num_workers=num_workers
    )
    datamodule.setup()
    return datamodule


@pytest.fixture(scope="module")
def straight(domain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three epochs without a stop."""
    return fit(data(domain_folder), tmp_path_factory.mktemp("straight"))


def assert_equal(resumed: Run, straight: Run) -> None:
    assert {"val/ndcg@10", "train/loss", "interests/drift"} <= set(straight.metrics)
    assert resumed.best == straight.best
    for part in ("weights", "optimizer", "metrics"):
        torch.testing.assert_close(getattr(resumed, part), getattr(straight, part), rtol=0, atol=0)


@pytest.mark.parametrize("dropout_prob", [0.0, 0.5])
@pytest.mark.parametrize("every_n_epochs", [1, 3])
def test_a_run_resumed_after_an_epoch_equals_an_uninterrupted_one(
    tmp_path: Path, domain_folder: Path, dropout_prob: float, every_n_epochs: int
) -> None:
    run = partial(
        fit,
        data(domain_folder),
        dropout_prob=dropout_prob,
        every_n_epochs=every_n_epochs,
        every_n_train_steps=NEVER,
    )
    whole = run(tmp_path / "whole", max_epochs=4)
    half_way = run(tmp_path / "resumed", max_epochs=2)
    assert not half_way.weights["model.positions.weight"].equal(
        whole.weights["model.positions.weight"]
    )
    assert_equal(run(tmp_path / "resumed", max_epochs=4), whole)


@pytest.mark.parametrize("every_n_train_steps", [1, 2])
@pytest.mark.parametrize(
    "killed_after",
    [1, EPOCH // 2, EPOCH - 1, EPOCH, EPOCH + 1, EPOCH + 3, 2 * EPOCH - 1, 2 * EPOCH],
)
def test_a_run_killed_inside_an_epoch_and_resumed_equals_an_uninterrupted_one(
    tmp_path: Path, domain_folder: Path, straight: Run, killed_after: int, every_n_train_steps: int
) -> None:
    run = partial(fit, data(domain_folder), tmp_path, every_n_train_steps=every_n_train_steps)
    with pytest.raises(Killed):
        run(callbacks=[KillAfter(killed_after)])
    assert_equal(run(), straight)


def test_a_run_killed_again_and_again_equals_an_uninterrupted_one(
    tmp_path: Path, domain_folder: Path, straight: Run
) -> None:
    for killed_after in (2, 3, EPOCH, EPOCH + 1, 3 * EPOCH - 2):
        with pytest.raises(Killed):
            fit(data(domain_folder), tmp_path, callbacks=[KillAfter(killed_after)])
    resumed = fit(data(domain_folder), tmp_path)
    # What is averaged over an epoch starts anew where it was resumed, here in the last one.
    ranked = {key: value for key, value in straight.metrics.items() if key.startswith("val/")}
    assert_equal(resumed._replace(metrics=straight.metrics), straight)
    assert ranked.items() <= resumed.metrics.items()


def test_a_copied_run_goes_on_in_itself_and_leaves_the_original_alone(
    tmp_path: Path, domain_folder: Path, straight: Run
) -> None:
    with pytest.raises(Killed):
        fit(data(domain_folder), tmp_path / "a", callbacks=[KillAfter(EPOCH + 3)])
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.ckpt")}
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert_equal(fit(data(domain_folder), tmp_path / "b"), straight)
    assert before == {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.ckpt")}
    assert (tmp_path / "b" / "checkpoints" / straight.best).is_file()


def test_a_stripped_checkpoint_is_ranked_with_and_not_trained_on(
    tmp_path: Path, domain_folder: Path
) -> None:
    trained = fit(data(domain_folder), tmp_path, max_epochs=1)
    path = tmp_path / "checkpoints" / trained.best
    strip_checkpoint(path)
    module = lightning_module(dropout_prob=0.5)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        max_epochs=1,
        plugins=[WholeCheckpoints()],
    )
    trainer.test(
        module, datamodule=data(domain_folder), ckpt_path=path, weights_only=True, verbose=False
    )
    assert module.metrics["test/ndcg@10"] > 0
    torch.testing.assert_close(dict(module.state_dict()), trained.weights, rtol=0, atol=0)
    with pytest.raises(ValueError, match="holds a model alone: training cannot go on from it"):
        trainer.fit(module, datamodule=data(domain_folder), ckpt_path=path, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [2, EPOCH + 2])
def test_batches_fetched_ahead_by_workers_are_not_lost(
    tmp_path: Path, domain_folder: Path, straight: Run, killed_after: int
) -> None:
    with pytest.raises(Killed):
        fit(data(domain_folder, num_workers=2), tmp_path, callbacks=[KillAfter(killed_after)])
    assert_equal(fit(data(domain_folder, num_workers=2), tmp_path), straight)


@pytest.mark.slow
def test_workers_resume_after_an_epoch_with_the_order_of_the_next(
    tmp_path: Path, domain_folder: Path, straight: Run
) -> None:
    def run(max_epochs: int) -> Run:
        datamodule = data(domain_folder, num_workers=2)
        return fit(datamodule, tmp_path, max_epochs=max_epochs, every_n_train_steps=NEVER)

    run(max_epochs=1)
    assert_equal(run(max_epochs=3), straight)


def test_interests_are_not_refreshed_again_inside_an_epoch(
    tmp_path: Path, domain_folder: Path
) -> None:
    with pytest.raises(Killed):
        fit(data(domain_folder), tmp_path, callbacks=[KillAfter(EPOCH + 2)])
    noted = Refreshes()
    fit(data(domain_folder), tmp_path, callbacks=[noted])
    assert noted.epochs == [2]


def test_a_checkpoint_inside_an_epoch_leaves_the_choice_of_the_best_alone(
    tmp_path: Path, domain_folder: Path, straight: Run
) -> None:
    without = fit(data(domain_folder), tmp_path, every_n_train_steps=NEVER)
    assert not (tmp_path / "checkpoints" / "latest.ckpt").exists()
    assert_equal(without, straight)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_nothing_is_saved_after_the_last_batch_or_while_gradients_add_up(
    monkeypatch: pytest.MonkeyPatch, accumulated: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        ModelCheckpoint, "on_train_batch_end", lambda *arguments: asked.append(arguments[-1])
    )
    checkpoint = MidEpochCheckpoint(every_n_train_steps=1)
    for batch in range(6):
        trainer: Any = SimpleNamespace(
            is_last_batch=batch == 5, accumulate_grad_batches=accumulated
        )
        checkpoint.on_train_batch_end(trainer, None, None, None, batch)  # type: ignore[arg-type]
    assert asked == {1: [0, 1, 2, 3, 4], 2: [1, 3]}[accumulated]


def test_throughput_of_a_resumed_epoch_is_that_of_its_rest(
    tmp_path: Path, domain_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1e6)
    fake = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr("missrec.training.callbacks.time", fake)

    class Work(Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            clock.now += 2

    run = partial(fit, data(domain_folder), tmp_path, max_epochs=1)
    with pytest.raises(Killed):
        run(callbacks=[KillAfter(EPOCH - 2), Work(), Throughput()])
    clock.now += 1e6  # until somebody noticed
    sizes = [len(batch.user_ids) for batch in data(domain_folder).train_dataloader()]
    resumed = run(callbacks=[Work(), Throughput()])
    assert resumed.metrics["train/sequences_per_sec"].item() == sum(sizes[-2:]) / (2 + 2)
