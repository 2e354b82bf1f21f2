"""The test users of a trained run ranked again: by its model, by parts of it, by baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from missrec.app.model import build_model, open_domains
from missrec.app.settings import RunSettings
from missrec.app.trained.loading import load_weights
from missrec.app.trained.same_data import check_run
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.sequences import SequenceDataset
from missrec.data.split_domains import SplitDomains
from missrec.features.store import FEATURES, TEXT, TEXT_VIEW, features_manifest, read_features
from missrec.features.table import FeatureTable
from missrec.metrics.ranking import TargetRanks
from missrec.models.item_knn import ItemKNN
from missrec.models.last_item_transition import LastItemTransition
from missrec.models.most_popular import MostPopular
from missrec.models.nearest_neighbor import NearestNeighbor
from missrec.nn.item_neighbors import ItemNeighbors
from missrec.retrieval.exact import block_scores
from missrec.retrieval.table import ItemTable
from missrec.runs.folder import RunFolder
from missrec.training.ranking import DomainRanking
from missrec.types import Catalogue, ItemVectors, Recommender, SequenceBatch, has_item_vectors

_BUILT = ("model", "datamodule.split")
_USERS_AT_ONCE = 1024
_CPU = torch.device("cpu")
_WITH_IDS = "transductive"
_INPUTS = {"text": "t", "image": "v"}


class Baseline(NamedTuple):
    """What learns nothing.

    Attributes:
        name: as tables have it.
        doing: what it does, as a sentence goes on after "better than".
        model: the name of its model.
        inputs: what it reads, as runs have it.
        ranker: the model.
        transfer: whether it knows items by their ids, as runs have it.
    """

    name: str
    doing: str
    model: str
    inputs: str
    ranker: nn.Module
    transfer: str


class RankedUsers:
    """The users that a run of one domain is validated and tested on.

    Attributes:
        settings: of the run.
        domains: of the run.
    """

    def __init__(self, folder: RunFolder, *, data_dir: Path) -> None:
        """Opens the data.

        Raises:
            FileNotFoundError, ValueError: the data or the config is missing or broken, or there
                are several domains.
        """
        self.settings: RunSettings = read_saved_run(
            folder, data_dir=data_dir, trust=False, built=_BUILT
        )
        self.domains: SplitDomains = open_domains(self.settings)
        if len(self.domains.spans) != 1:
            raise ValueError(f"it ranks {len(self.domains.spans)} domains, not one")

    def __len__(self) -> int:
        """U, the test users."""
        return len(self.domains.split.test)

    def ranks(self, model: nn.Module, *, part: str = "test") -> pl.DataFrame:
        """The ranks that a model gives the users, as `metrics.paired.read_ranks` has them.

        Args:
            model: a `Recommender`, in evaluation.
            part: `val` or `test`.
        """
        config, span = self.settings.config, self.domains.spans[0]
        users = SequenceDataset(
            items=self.domains.mixed.items,
            offsets=self.domains.mixed.offsets,
            targets=getattr(self.domains.split, part),
            max_seq_len=config["datamodule"]["max_seq_len"],
            trim_padding=True,
        )
        with torch.no_grad():
            ranking = DomainRanking(
                cast("Recommender", model),
                span,
                users_per_tile=config["metrics"]["users_per_tile"],
                items_per_tile=config["metrics"]["items_per_tile"],
                filter_seen=config["metrics"]["filter_seen"],
                device=_CPU,
            )
            order = np.argsort(users.lengths, kind="stable")
            for rows in np.split(order, range(_USERS_AT_ONCE, len(order), _USERS_AT_ONCE)):
                ranking.add(users[rows])
            groups = ranking.finish()
        found = TargetRanks(*(torch.cat(columns) for columns in zip(*groups, strict=True)))
        return pl.DataFrame(
            {
                "user_id": found.user_ids.numpy(),
                "target_id": (found.target_ids - span.first_item + 1).numpy(),
                "rank": found.ranks.numpy(),
                "num_equal": found.num_equal.numpy(),
            }
        ).sort("user_id")

    def baselines(self) -> Iterator[Baseline]:
        """What learns nothing, for the same items.

        Raises:
            FileNotFoundError, ValueError: the features are missing or broken, once those that
                need none have come.
        """
        catalogue = self._catalogue([])
        popular = MostPopular(catalogue=catalogue)
        doing = "recommending the most popular items"
        yield Baseline("most popular", doing, "most_popular", "id", popular, _WITH_IDS)
        follows = LastItemTransition(catalogue=catalogue)
        name, doing = "transitions from the last item", "counting what followed the last item"
        yield Baseline(name, doing, "last_item_transition", "id", follows, _WITH_IDS)
        folder = self.domains.folders[0]
        if not (folder / FEATURES).is_dir():
            return
        modalities = [name for name in features_manifest(folder)["counts"] if name != TEXT_VIEW]
        for modality in modalities:
            nearest = NearestNeighbor(catalogue=self._catalogue([modality])).eval()
            name = f"nearest {modality} to the last item"
            doing = f"showing what is nearest to the last item by its {modality}"
            inputs = _INPUTS.get(modality, modality)
            yield Baseline(name, doing, "nearest_neighbor", inputs, nearest, "inductive")
        if TEXT in modalities:
            near = ItemKNN(
                catalogue=self._catalogue([TEXT]), neighbors=ItemNeighbors, item_ids=True
            )
            name, doing = "item-based nearest neighbors", "counting what stood near and is alike"
            yield Baseline(name, doing, "item_knn", _INPUTS[TEXT], near.eval(), _WITH_IDS)

    def _catalogue(self, modalities: Sequence[str]) -> Catalogue:
        domains = self.domains
        own = read_features(domains.folders[0], list(modalities), num_items=domains.num_items)
        budget = self.settings.config["features"]["resident_bytes"]
        return Catalogue(
            num_items=domains.num_items,
            train_counts=domains.train_counts,
            train_sequences=domains.train_sequences,
            features=FeatureTable([own], num_items=[domains.num_items], resident_bytes=budget),
            second_views=None,
        )


class TrainedRun(RankedUsers):
    """A run with its weights.

    Attributes:
        model: in evaluation.
    """

    def __init__(self, folder: RunFolder, *, data_dir: Path) -> None:
        """Opens the data, which must be what the run was made on, and loads the weights.

        Raises:
            FileNotFoundError, ValueError: as of `RankedUsers`; or the weights are missing, broken
                or of another model, or the data has changed.
        """
        super().__init__(folder, data_dir=data_dir)
        built = build_model(self.settings, self.domains)
        check_run(folder, built.identity, accept=False)
        load_weights(built.model, folder)
        self.model: nn.Module = built.model.eval()

    @property
    def parts(self) -> tuple[str, ...]:
        """What the scores of the model are made of; none where that is not known."""
        return () if self._table is None else self._table.parts

    @property
    def _table(self) -> ItemTable | None:
        if not has_item_vectors(self.model):
            return None
        span = self.domains.spans[0]
        item_ids = torch.arange(span.first_item, span.last_item + 1)
        return ItemTable.of(self.model, item_ids, key_ranks=torch.arange(len(item_ids)))

    def ranks_without(self, parts: Collection[str]) -> pl.DataFrame:
        """As `ranks`, by scores that lack some of `parts`; the histories are read whole.

        Raises:
            ValueError: the scores have no such part, or nothing else.
        """
        table = self._table
        if table is None:
            raise ValueError("the scores have no parts that can be left out")
        first = self.domains.spans[0].first_item
        return self.ranks(_Partial(self.model, table.without(parts), first_item=first))


class _Partial(nn.Module):
    """A model whose scores lack some parts."""

    def __init__(self, model: nn.Module, table: ItemTable, *, first_item: int) -> None:
        super().__init__()
        self._model: Any = model
        self._items = table
        self._first_item = first_item

    def encode(self, batch: SequenceBatch) -> Tensor:
        """As the whole model."""
        encoded: Tensor = self._model.encode(batch)
        return encoded

    def candidates(self, item_ids: Tensor) -> ItemVectors:
        """The vectors of items (C,) that are left."""
        return self._items.at(self._items.places[item_ids - self._first_item])

    def score(self, encoded: Tensor, candidates: ItemVectors) -> Tensor:
        """(B, C) of users (B, D)."""
        return block_scores(encoded, candidates)
