"""The one LightningModule: trains and ranks with any `Recommender`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from missrec.distributed import apart, gather_objects, num_processes, process_index, share
from missrec.metrics.ranking import FullRanking, TargetRanks
from missrec.training.memory import give_back_memory
from missrec.training.ranking import DomainRanking
from missrec.types import DomainSpan, Recommender, SequenceBatch

_SEED_STEP = 1_000_003
"""Between the seeds of two processes, so that they are not those of runs with the next seeds."""


class RecommenderModule(LightningModule):
    """Optimises the model's own loss; ranks every user's target over the user's domain.

    Logs `train/loss`, its terms, and at validation and test `val/ndcg@10` and the like. With
    several domains that is the mean over them, beside `val/<domain>/ndcg@10`. The trainer keeps
    these in float32; `metrics` holds those of the last ranking in double, and `validations` those
    of each validation of this training, by the steps that it came after.

    Of several processes each gets the whole training batch and computes the loss of its rows; what
    is logged is of the whole batch. Dropout draws from a seed of each process.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        spans: Sequence[DomainSpan],
        cutoffs: Sequence[int],
        filter_seen: bool,
        users_per_tile: int,
        items_per_tile: int,
        identity: Mapping[str, Any],
    ) -> None:
        """Takes the ready parts.

        Args:
            model: a `Recommender`.
            optimizer: called with the parameters that need a gradient.
            spans: the domains, in the order of the evaluation loaders.
            cutoffs: values of k of the metrics.
            filter_seen: leave items of the history out of the ranking, the target excepted.
                The paper's protocol does not.
            users_per_tile: users scored at a time in the ranking.
            items_per_tile: items scored at a time; bounds the memory of the ranking.
            identity: what the data is known by, plain values; each checkpoint holds it.
        """
        super().__init__()
        self.model = model
        self._optimizer = optimizer
        self._spans = list(spans)
        self._filter_seen = filter_seen
        self._users_per_tile = users_per_tile
        self._items_per_tile = items_per_tile
        self._identity = identity
        self.rankings = nn.ModuleList(FullRanking(cutoffs=cutoffs) for _ in self._spans)
        self.target_ranks: list[TargetRanks] = []
        self.metrics: dict[str, float] = {}
        self.validations: dict[int, dict[str, float]] = {}
        self._domains: list[DomainRanking] = []
        self._random_states: list[list[Tensor]] = []

    @property
    def learns(self) -> bool:
        """Whether there is anything to train."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def _recommender(self) -> Recommender:
        return cast("Recommender", self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the data is known by, and each process's state of the random numbers.

        Resumed, it draws what it would have.
        """
        checkpoint["data"] = dict(self._identity)
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        # Every process comes here, though only the first writes.
        checkpoint["random_states"] = gather_objects(states)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the states until training starts; what is drawn before does not count.

        Raises:
            ValueError: training cannot go on from this checkpoint.
        """
        states = checkpoint.get("random_states")
        if states is None and "random_state" in checkpoint:
            states = [checkpoint["random_state"]]  # as one process alone wrote it once
        if states is None and self.trainer.state.fn == TrainerFn.FITTING:
            raise ValueError("the checkpoint holds a model alone: training cannot go on from it")
        self._random_states = states or []

    def on_train_start(self) -> None:
        """Random numbers of each process's own, or those of a resumed run continued."""
        if num_processes() > 1:
            torch.manual_seed(torch.initial_seed() + _SEED_STEP * process_index())
        setters: list[Callable[[Tensor], None]] = [torch.set_rng_state]
        if self.device.type == "cuda":
            setters.append(partial(torch.cuda.set_rng_state, device=self.device))
        # Resumed by more processes than it had, the last of them have nothing to continue; on
        # another kind of device, nothing but the state of the CPU.
        for own in self._random_states[process_index() :][:1]:
            for restore, state in zip(setters, own, strict=False):
                restore(state)
        self._random_states = []
        self._apply_settings()

    def on_train_epoch_start(self) -> None:
        """Gives back what the refresh of the interests and the ranking before it have freed."""
        give_back_memory()

    def training_step(self, batch: SequenceBatch, batch_index: int) -> Tensor:
        """The model's loss of one batch, or this process's part of it."""
        if len(batch.user_ids) < num_processes():  # a process without a row would have no step
            with apart():
                loss = self._recommender.training_loss(batch)
        else:
            loss = self._recommender.training_loss(SequenceBatch(*map(share, batch)))
        size = len(batch.asked_ids)
        self.log("loss", loss.total.detach(), prog_bar=True, logger=False, batch_size=size)
        terms = {f"train/loss_{name}": value for name, value in loss.terms.items()}
        self.log_dict(
            {"train/loss": loss.total.detach(), **terms},
            on_step=False,
            on_epoch=True,
            sync_dist=True,  # the mean of the parts, once an epoch
            batch_size=size,
        )
        return loss.total

    def _apply_settings(self) -> None:
        """Has the optimiser take its settings from the config: resumed, it has the checkpoint's."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                known = optimizer.defaults.keys() & group.keys()
                group.update({key: optimizer.defaults[key] for key in known})

    def configure_optimizers(self) -> Optimizer:
        """The optimiser over the parameters that need a gradient."""
        return self._optimizer(
            [parameter for parameter in self.parameters() if parameter.requires_grad]
        )

    def on_validation_epoch_start(self) -> None:
        """Starts the ranking of each domain."""
        self._start_ranking()

    def on_test_epoch_start(self) -> None:
        """Starts the ranking of each domain."""
        self._start_ranking()

    def validation_step(
        self, batch: SequenceBatch, batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Takes in the users of one batch of one domain."""
        self._domains[dataloader_idx].add(batch)

    def test_step(self, batch: SequenceBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Takes in the users of one batch of one domain."""
        self._domains[dataloader_idx].add(batch)

    def on_validation_epoch_end(self) -> None:
        """Logs `val/...`."""
        self._finish_ranking("val")
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.validations[self.global_step] = self.metrics

    def on_test_epoch_end(self) -> None:
        """Logs `test/...`; `target_ranks` then holds every user's rank, by domain."""
        self._finish_ranking("test")

    def _start_ranking(self) -> None:
        give_back_memory()  # of the steps before it
        self._domains = [
            DomainRanking(
                self._recommender,
                span,
                users_per_tile=self._users_per_tile,
                items_per_tile=self._items_per_tile,
                filter_seen=self._filter_seen,
                device=self.device,
            )
            for span in self._spans
        ]

    def _finish_ranking(self, stage: str) -> None:
        self.target_ranks = []
        by_domain = []
        for ranking, domain in zip(self.rankings, self._domains, strict=True):
            assert isinstance(ranking, FullRanking)
            ranking.reset()
            for users in domain.finish():
                ranking.update(users)
            by_domain.append(ranking.compute())
            with ranking.sync_context():
                self.target_ranks.append(ranking.target_ranks())
        self._domains = []
        self.metrics = {
            f"{stage}/{key}": sum(metrics[key] for metrics in by_domain) / len(by_domain)
            for key in by_domain[0]
        }
        if len(self._spans) > 1:
            for span, metrics in zip(self._spans, by_domain, strict=True):
                self.metrics |= {f"{stage}/{span.name}/{key}": v for key, v in metrics.items()}
        self.log_dict(self.metrics)
        if stage == "val":
            self.log("ndcg@10", self.metrics.get("val/ndcg@10", 0.0), prog_bar=True, logger=False)
