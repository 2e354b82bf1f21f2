"""Shards of recommendations by Lightning's predict: each process takes its share of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed
from torch.utils.data import DataLoader

from missrec.features.predicting import PredictProgress
from missrec.retrieval.batch.answers import Wish, answers, user_vectors
from missrec.retrieval.batch.parts import Parts
from missrec.retrieval.recommender import CatalogueRecommender

_AUTO = "auto"


def build_trainer(
    *, accelerator: str, devices: int | str, num_nodes: int, callbacks: Sequence[Callback]
) -> Trainer:
    """The Lightning trainer that goes through the shards.

    Processes are started here, or were started by torchrun or srun.

    Raises:
        ValueError: several machines, and nobody has started a process on each; or there is no such
            accelerator here.
    """
    if devices != _AUTO and (not isinstance(devices, int) or devices < 1):
        raise ValueError(f"devices ({devices}) must be a number of processes, or {_AUTO}")
    are_started = TorchElasticEnvironment.detect() or SLURMEnvironment.detect()
    if num_nodes > 1 and not are_started:
        raise ValueError(
            f"num_nodes ({num_nodes}): several machines need torchrun or srun to start the "
            "processes, see docs/recommend.md"
        )
    is_one = devices == 1 and num_nodes == 1
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=_AUTO if is_one else "ddp" if are_started else "ddp_spawn",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ModuleNotFoundError) as error:  # such as a lacking GPU
        raise ValueError(f"accelerator ({accelerator}), devices ({devices}): {error}") from error


class ShardModule(LightningModule):
    """Answers the requests of the shards of its process that are missing."""

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        *,
        load: Callable[..., CatalogueRecommender],
        recommender: CatalogueRecommender | None,
        parts: Parts,
        wish: Wish,
    ) -> None:
        """Keeps the parts.

        Args:
            load: makes the recommender of a process, with the `device` of torch.
            recommender: ready, of a process alone; None of several.
            parts: with the requests.
            wish: what is wanted for each.
        """
        super().__init__()
        self._load = load
        self._recommender = recommender
        self._parts = parts
        self._wish = wish

    @property
    def num_shards(self) -> int:
        """Of all processes."""
        return int((self._parts.prepared or {})["num_shards"])

    @property
    def num_missing(self) -> int:
        """Shards of all processes that are not done."""
        return len(self._parts.missing(self.num_shards))

    def setup(self, stage: str) -> None:
        """Loads the recommender, and silences what no user could change."""
        for message in (".*LeafSpec.*", ".*predict returned None.*", ".*Total length of .*"):
            warnings.filterwarnings("ignore", message=message)
        if self._recommender is None:
            self._recommender = self._load(device=str(self.trainer.strategy.root_device))

    def predict_dataloader(self) -> DataLoader[int]:
        """Every world_size-th of the missing shards."""
        # Shard by number, not by place among the missing ones, which others make fewer just now.
        rank, size = self.trainer.global_rank, self.trainer.world_size
        mine = [n for n in self._parts.missing(self.num_shards) if n % size == rank]
        return DataLoader(mine, batch_size=None)  # type: ignore[arg-type]

    def predict_step(self, shard: int) -> None:
        """Answers the requests of a shard and writes it."""
        assert self._recommender is not None
        requests = self._parts.read_requests(shard)
        vectors = None
        if self._wish.vectors:
            vectors = user_vectors(self._recommender, requests, self._wish)
        found = answers(self._recommender, requests, self._wish)
        self._parts.write_answers(shard, found, vectors)

    def on_predict_end(self) -> None:
        """Waits for the other processes."""
        self.trainer.strategy.barrier("shards")

    def teardown(self, stage: str) -> None:
        """Leaves the other ranks; a spawned process that ends with gloo's threads may abort."""
        if distributed.is_initialized():
            distributed.destroy_process_group()


class ShardProgress(PredictProgress):
    """A bar over the shards of all processes, drawn by the first."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws it."""
        assert isinstance(pl_module, ShardModule)
        self._total = pl_module.num_missing
        self.start(trainer, "shards", total=self._total)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: object
    ) -> None:
        """Moves it to what all have done."""
        assert isinstance(pl_module, ShardModule)
        self.move(completed=self._total - pl_module.num_missing)
