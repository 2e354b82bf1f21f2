"""What each process of the tests of `missrec.distributed` runs; they import it by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from missrec.app.build import build_experiment
from missrec.distributed import batch_mean, batch_sum, gather, process_index, share, share_of
from missrec.interests.neighbors import ExactNeighbors, FaissNeighbors
from missrec.nn.dropout import Dropout
from missrec.objectives.contrastive import SequenceContrast, ViewContrast
from missrec.objectives.mutual_information import mutual_information_loss
from missrec.training.callbacks import RefreshInterests
from missrec.training.module import RecommenderModule
from missrec.training.saving import RunCheckpoint, WholeCheckpoints
from missrec.training.silence import quiet_lightning
from missrec.training.strategies.ddp import OneProcessPerDevice
from missrec.training.strategies.fsdp import ShardedTables
from missrec.types import DiscoversInterests
from ranking_worker import CASES as RANKING_CASES
from ranking_worker import rank_users
from run_settings import as_run
from synthetic import demo_source_sizes, dpc_knn

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
NUM_USERS = 18
SMALL = (
    f"data.sources.demo_office.num_users={NUM_USERS}",
    "data.sources.demo_office.num_items=30",
    "datamodule.batch_size=15",
)
SOURCES = demo_source_sizes(num_users=10, num_items=20)
CASES: Mapping[str, Sequence[str]] = {
    **{f"model={name}": (f"model={name}", *SMALL) for name in MODELS},
    "pretraining": ("experiment=pretrain", *SOURCES, "datamodule.batch_size=29"),
    "pretraining of UniSRec": (
        "experiment=pretrain",
        "model=unisrec",
        *SOURCES,
        "datamodule.batch_size=29",
    ),
    "self-supervision": ("model=s3rec", "model.self_supervised=true", *SMALL),
    "in-batch negatives": ("model=sasrec", "objective=in_batch_softmax", *SMALL),
    "all positions": (
        "model=sasrec",
        "objective=in_batch_softmax",
        "samples=sequences",
        *SMALL,
    ),
    "prefixes together": ("model=sasrec", "samples=prefixes_together", *SMALL),
    "repeated sequences": ("model=bert4rec", "samples=repeated_sequences", *SMALL),
    "with dropout": ("model=missrec_small", *SMALL),
    "sharded tables": ("model=missrec_released", "transfer=transductive", *SMALL),
    "sharded tables of SASRec": ("model=sasrec", *SMALL),
    "sharded tables of ZESRec": (
        "experiment=pretrain",
        "model=zesrec",
        *SOURCES,
        "datamodule.batch_size=29",
    ),
}
"""Case -> overrides of the config; batches cannot be cut evenly, and the last has one row."""


class Trained(NamedTuple):
    """What training ended with.

    Attributes:
        ranked: metrics of the test users before training, and the rank of each.
        random: whether a loss draws random numbers.
        logged: means of the losses over the last epoch.
        gradients: of each step, of each parameter.
        weights: state of the model.
        initial_seed: of the random numbers of training.
        sharded: parameters of which the process had a share.
    """

    ranked: dict[str, Any]
    random: bool
    logged: dict[str, float]
    gradients: list[dict[str, Tensor]]
    weights: dict[str, Tensor]
    initial_seed: int
    sharded: list[str]


def compose_case(name: str, data_dir: Path) -> DictConfig:
    """The config of a case."""
    further = [
        f"paths.data_dir={data_dir}",
        "names.experiment=test",
        "names.model=test",
        "run_dir=.",
    ]
    further += ["datamodule.eval_batch_size=7"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        # Adam divides what is left of a zero gradient by itself, but for its epsilon.
        cfg = compose("train", overrides=[*CASES[name], *further, "+optimizer.eps=0.01"])
    if "embed_dim" in cfg.model:
        cfg.model.embed_dim = 16
    if not cfg.samples.prefixes:
        cfg.datamodule.batch_size = NUM_USERS * cfg.samples.repeats - 1
    return cfg


class Notes(Callback):
    """Notes the gradients of each step, the seed, and what is sharded."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, Tensor]] = []
        self.initial_seed = 0
        self.sharded: list[str] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.initial_seed = torch.initial_seed()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        named = dict(pl_module.model.named_parameters())
        self.sharded = [name for name, p in named.items() if isinstance(p, DTensor)]
        gradients = {name: whole(p.grad) for name, p in named.items() if p.grad is not None}
        self.gradients.append({name: grad.clone() for name, grad in gradients.items()})


def whole(tensor: Tensor) -> Tensor:
    """All of it, where each process has a share."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train_case(name: str, data_dir: Path, *, num_processes: int) -> Trained:
    """Ranks, then trains two epochs, unless there is nothing to train."""
    cfg = compose_case(name, data_dir)
    seed_everything(1, verbose=False)
    datamodule, module, *_ = build_experiment(as_run(cfg))
    if name != "with dropout":
        without_dropout(module)
    if isinstance(module.model, DiscoversInterests):
        module.model.refresh_interests()
    sharded = name.startswith("sharded") and num_processes > 1
    ranked = trainer(num_processes)
    ranked.test(module, datamodule=datamodule, verbose=False)
    ranks = [users.ranks.tolist() for users in module.target_ranks]
    found = {"metrics": module.metrics, "ranks": ranks}
    if not module.learns:
        return Trained(found, False, {}, [], {}, 0, [])
    random = draws(module, next(iter(datamodule.train_dataloader())))
    notes = Notes()
    callbacks = [RefreshInterests(every_n_epochs=1), notes]
    if sharded:
        callbacks.append(RunCheckpoint(data_dir / name, filename="{epoch}", save_top_k=-1))
    fit = trainer(num_processes, *callbacks, sharded=sharded)
    fit.fit(module, datamodule=datamodule)
    logged = {key: float(v) for key, v in fit.callback_metrics.items() if key.startswith("train/")}
    weights = {key: value.clone() for key, value in module.model.state_dict().items()}
    seed, sharded_names = notes.initial_seed, notes.sharded
    return Trained(found, random, logged, notes.gradients, weights, seed, sharded_names)


def resume_case(name: str, data_dir: Path, *, epoch: int) -> dict[str, Tensor]:
    """The weights after the second epoch, from the checkpoint of an epoch, 0 or 1."""
    cfg = compose_case(name, data_dir)
    datamodule, module, *_ = build_experiment(as_run(cfg))
    without_dropout(module)
    fit = trainer(2, RefreshInterests(every_n_epochs=1), sharded=True)
    checkpoint = data_dir / name / f"epoch={epoch}.ckpt"
    fit.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    return module.model.state_dict()


def trainer(num_processes: int, *callbacks: Callback, sharded: bool = False) -> Trainer:
    """A trainer that works alone, or with processes that are there already."""
    strategy: Any = "auto"
    settings: dict[str, Any] = {"command": [], "timeout_sec": 60}
    if sharded:
        strategy = ShardedTables(**settings, tables=["item_embeddings", "items", "item_offsets"])
    elif num_processes > 1:
        strategy = OneProcessPerDevice(**settings)
    return Trainer(
        accelerator="cpu",
        devices=num_processes,
        strategy=strategy,
        deterministic=True,
        logger=False,
        enable_checkpointing=any(isinstance(one, RunCheckpoint) for one in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        max_epochs=2,
        limit_val_batches=1.0 if sharded else 0,
        callbacks=list(callbacks),
        plugins=[WholeCheckpoints()],
    )


def without_dropout(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, Dropout):
            part._dropped_levels = 0
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def draws(module: RecommenderModule, batch: Any) -> bool:
    """Whether the loss draws random numbers."""
    before = torch.get_rng_state()
    module.model.train()
    module.model.training_loss(batch)
    drawn = not torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(before)
    return drawn


def cluster_tokens() -> dict[str, Tensor]:
    """Prototypes and assignments of DPC-KNN, by its settings; half of the tokens are duplicates."""
    tokens = torch.randn(301, 6, generator=torch.Generator().manual_seed(0))
    tokens[150:] = tokens[:151].round()
    found = {}
    for break_ties in (True, False):
        for search in (ExactNeighbors(), FaissNeighbors(num_probes=2)):
            clustering = dpc_knn(
                num_neighbors=30, break_ties=break_ties, search=search, block_bytes=4 * 301 * 20
            )
            prototypes, assignment = clustering(tokens, num_clusters=40)
            name = f"{type(search).__name__}, break_ties={break_ties}"
            found[name] = torch.cat([prototypes.flatten(), assignment.to(prototypes)])
    return found


def losses_of_rows() -> dict[str, tuple[float, list[list[float]]]]:
    """Losses that random numbers surround in the models: the value, and the gradients of rows.

    The rows are 0..4 or this process's share of them.
    """
    rows = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    losses: dict[str, Callable[..., Tensor]] = {
        "views": ViewContrast(temperature=0.5),
        "sequences": SequenceContrast(temperature=0.5, include_self=False),
        "mutual information": lambda ones, others: mutual_information_loss(
            ones, others, others.flip(-1), torch.ones(len(ones), dtype=torch.bool)
        ),
    }
    found = {}
    for name, loss_of in losses.items():
        own = share(rows).requires_grad_()
        loss = loss_of(*own.chunk(2, dim=1))
        loss.backward()
        assert own.grad is not None
        found[name] = (loss.item(), own.grad.tolist())
    return found


def use_collectives() -> dict[str, Any]:
    """What the functions of `missrec.distributed` give each process for rows 0..4, cut in two."""
    rows = share(torch.arange(5.0)).requires_grad_()
    everyone, first = gather(rows)
    ((process_index() + 1) * everyone.square()).sum().backward()
    empty = gather(torch.zeros(3 * process_index(), 2))
    return {
        "own": rows.tolist(),
        "everyone": everyone.tolist(),
        "first": first,
        "gradient": rows.grad.tolist(),
        "piece": list(share_of(5)),
        "sizes of an empty and a full one": list(empty.rows.shape),
        "nobody has any": list(gather(torch.zeros(0, 2)).rows.shape),
        "mean": batch_mean(rows.detach().mean(), count=len(rows)).item(),
        "sum": batch_sum(rows.detach().sum()).item(),
        "mean where one has none": batch_mean(
            torch.tensor([6.0, torch.nan][process_index()]), count=3 * (1 - process_index())
        ).item(),
    }


def run(index: int, folder: str, port: int) -> None:
    """Writes `<folder>/<index>.pt`: what this process of two found."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        LOCAL_RANK=str(index),
        NODE_RANK="0",
        WORLD_SIZE="2",
    )
    quiet_lightning()
    trained = {name: train_case(name, Path(folder), num_processes=2) for name in CASES}
    found = {
        "trained": trained,
        "clusters": cluster_tokens(),
        "collectives": use_collectives(),
        "losses": losses_of_rows(),
        "resumed": {
            name: [resume_case(name, Path(folder), epoch=epoch) for epoch in (0, 1)]
            for name in CASES
            if "sharded" in name
        },
        "ranked": {case: rank_users(batches[index]) for case, batches in RANKING_CASES.items()},
    }
    torch.save(found, Path(folder, f"{index}.pt"))
    torch.distributed.destroy_process_group()
