"""What trackers show of a tested run: buckets, examples, the checkpoint, the data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from missrec.data.datamodule import SequenceDataModule
from missrec.data.domain import read_titles
from missrec.data.manifest import MANIFEST
from missrec.metrics.buckets import popularity_buckets
from missrec.metrics.ranking import TargetRanks
from missrec.nn.precision import full_precision
from missrec.report.figures.buckets import popularity_figure
from missrec.tracking.tracker import Artifact, Tracker, trackers
from missrec.training.module import RecommenderModule
from missrec.types import DomainSpan, Recommender, SequenceBatch

_SHOWN_HISTORY = 5

_log = logging.getLogger(__name__)


class Records(Callback):
    """Shows in each tracker, after the test, what a reader of a dashboard looks for.

    - `test/buckets` and `test/popularity/<domain>`: the metrics by the target's training
      occurrences, as table and figure;
    - `test/examples`: the last items of some test users, what they took next and its rank, and what
      the model would have recommended, by title; items of the history are among it;
    - artifacts: the tested checkpoint as `checkpoint` with the aliases `best` and `epoch-<n>`, and
      the manifests of each domain as `domain-<name>`, so that runs on other data show as such.
    """

    def __init__(
        self,
        *,
        folders: Sequence[str],
        bucket_edges: Sequence[int],
        cutoffs: Sequence[int],
        num_examples: int,
        num_recommended: int,
        items_at_once: int,
        log_checkpoint: bool,
    ) -> None:
        """Keeps the settings.

        Args:
            folders: the domain folders of the run, in the order of its domains.
            bucket_edges: see `popularity_buckets`.
            cutoffs: of the metrics of a bucket.
            num_examples: test users of each domain to show.
            num_recommended: items to show of each.
            items_at_once: items scored at a time for them.
            log_checkpoint: keep the tested checkpoint as an artifact.
        """
        self._folders = [Path(folder) for folder in folders]
        self._bucket_edges = list(bucket_edges)
        self._cutoffs = list(cutoffs)
        self._num_examples = num_examples
        self._num_recommended = num_recommended
        self._items_at_once = items_at_once
        self._log_checkpoint = log_checkpoint

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows all of it; of several processes the first alone has a tracker."""
        shown_in = trackers(trainer)
        if not shown_in:
            return
        data, module = trainer.datamodule, pl_module  # type: ignore[attr-defined]
        assert isinstance(data, SequenceDataModule)
        assert isinstance(module, RecommenderModule)
        try:
            self._show_buckets(shown_in, data, module)
            examples = self._examples(data, module)
            for tracker in shown_in:
                tracker.show_table("test/examples", examples)
                for artifact in self._artifacts(trainer):
                    tracker.keep(artifact)
        except Exception as error:  # whatever it is: a finished run is not lost for its picture
            _log.warning("the records of the test are incomplete: %s", error)

    def _show_buckets(
        self, shown_in: Sequence[Tracker], data: SequenceDataModule, module: RecommenderModule
    ) -> None:
        train_counts = data.domains.train_counts  # goes over all interactions
        rows: list[dict[str, Any]] = []
        for span, users in zip(data.domains.spans, module.target_ranks, strict=True):
            buckets = popularity_buckets(
                TargetRanks(*(part.cpu() for part in users)),
                train_counts,
                edges=self._bucket_edges,
                cutoffs=self._cutoffs,
            )
            rows += [{"domain": span.name, **bucket.as_row()} for bucket in buckets]
            with TemporaryDirectory() as folder:
                path = Path(folder) / "popularity.png"
                popularity_figure(path, buckets, title=span.name)
                for tracker in shown_in:
                    tracker.show_figure(f"test/popularity/{span.name}", path)
        for tracker in shown_in:
            tracker.show_table("test/buckets", pl.from_dicts(rows, infer_schema_length=None))

    def _examples(self, data: SequenceDataModule, module: RecommenderModule) -> pl.DataFrame:
        named = read_titles(self._folders)
        titles, keys = named["title"], named["item_key"]
        rows = []
        for loader, span, users in zip(
            data.test_dataloader(), data.domains.spans, module.target_ranks, strict=True
        ):
            dataset: Any = loader.dataset
            # Not those that a limited test left out.
            ranked = np.isin(dataset.user_ids, users.user_ids.cpu().numpy())
            chosen = np.flatnonzero(ranked)[: self._num_examples]
            batch = SequenceBatch(*(part.to(module.device) for part in dataset[chosen]))
            found = highest_scored(
                cast("Recommender", module.model),
                batch,
                span,
                keys=keys[span.first_item - 1 : span.last_item],
                count=self._num_recommended,
                items_at_once=self._items_at_once,
            )
            rank_of = dict(zip(users.user_ids.tolist(), users.ranks.tolist(), strict=True))
            for row, user_id in enumerate(batch.user_ids.tolist()):
                history = batch.item_ids[row][batch.valid_mask[row]][-_SHOWN_HISTORY:]
                rows.append(
                    {
                        "domain": span.name,
                        "last_items": _names(titles, history),
                        "target": titles[int(batch.target_ids[row]) - 1],
                        "rank": rank_of[user_id],
                        "recommended": _names(titles, found[row]),
                    }
                )
        return pl.from_dicts(rows)

    def _artifacts(self, trainer: Trainer) -> Iterator[Artifact]:
        for folder in self._folders:
            manifests = (folder / MANIFEST, folder / "features" / MANIFEST)
            files = {str(one.relative_to(folder)): one for one in manifests if one.is_file()}
            yield Artifact(f"domain-{folder.name}", "domain", files)
        chosen = trainer.checkpoint_callback
        if self._log_checkpoint and isinstance(chosen, ModelCheckpoint) and chosen.best_model_path:
            path = Path(chosen.best_model_path)
            epoch = path.stem.replace("_", "-")
            yield Artifact("checkpoint", "model", {"best.ckpt": path}, ("best", epoch))


def highest_scored(
    model: Recommender,
    batch: SequenceBatch,
    span: DomainSpan,
    *,
    keys: pl.Series,
    count: int,
    items_at_once: int,
) -> Tensor:
    """(B, count) the items of a domain that a model scores highest, best first; ties by key.

    Args:
        model: in evaluation mode.
        batch: B histories.
        span: the items.
        keys: (N,) of them.
        count: of items, or all if they are fewer.
        items_at_once: items scored at a time.
    """
    device = batch.item_ids.device
    by_key = keys.arg_sort().to_numpy().astype(np.int64)
    items = torch.from_numpy(span.first_item + by_key).to(device)
    with full_precision(device.type):
        encoded = model.encode(batch)
        blocks = [
            model.score(encoded, model.candidates(block))
            for block in torch.split(items, items_at_once)
        ]
    scores = torch.cat(blocks, dim=1)
    return items[scores.argsort(dim=1, descending=True, stable=True)[:, :count]]


def _names(titles: pl.Series, item_ids: Tensor) -> str:
    return "; ".join(titles[item_ids.cpu().numpy() - 1])
