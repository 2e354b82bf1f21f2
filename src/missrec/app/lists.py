"""The best items of each test user of a run, and what they say beyond accuracy."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from missrec.app.build import Experiment
from missrec.app.settings import ListSettings, RunSettings
from missrec.app.trained.loading import items_of
from missrec.data.sequences import SequenceDataset
from missrec.data.split_domains import SplitDomains
from missrec.features.store import FEATURES, TEXT_VIEW, features_manifest, read_features
from missrec.metrics.beyond_accuracy import Features, ItemFacts, list_metrics
from missrec.metrics.buckets import cold_recall
from missrec.metrics.ranking import TargetRanks
from missrec.retrieval.catalogue import CatalogueItems
from missrec.retrieval.indexes import exact_search
from missrec.retrieval.search import Wanted
from missrec.training.ranking import encode_users
from missrec.types import PAD_ID, DomainSpan, Recommender, SequenceBatch

_USERS_AT_ONCE = 1024

_log = logging.getLogger(__name__)


class MeasuredLists(NamedTuple):
    """What a run recommends to its test users.

    Attributes:
        by_domain: of each domain, (U, K) items of the users in the order of their ranks, by their
            ids in the domain; `PAD_ID` where a list is shorter than K.
        metrics: such as `test/coverage@10`; with several domains the means over those that have the
            metric, beside `test/<domain>/coverage@10`.
    """

    by_domain: list[np.ndarray]
    metrics: dict[str, float]


@torch.no_grad()
def measure_lists(
    run: RunSettings, experiment: Experiment, *, device: torch.device
) -> MeasuredLists:
    """Recommends to every test user as the ranking did, and measures the lists.

    Seen items are left out where the ranking does, `metrics.filter_seen`; equal scores go by key.
    Without `metrics.lists.cutoffs` nothing is done.

    Args:
        run: its settings.
        experiment: just ranked; the weights are those that were.
        device: to recommend on.

    Raises:
        ValueError: a score is not finite.
    """
    domains, settings = experiment.datamodule.domains, run.lists
    if not settings.cutoffs:
        return MeasuredLists([], {})
    model = experiment.module.model.to(device).eval()
    longest = run.config["datamodule"]["max_seq_len"]
    facts = item_facts(domains)
    by_domain, figures = [], []
    for place, users in enumerate(experiment.module.target_ranks):
        histories = _TestHistories(domains, users.user_ids, max_seq_len=longest)
        lists = _best_items(
            model,
            histories,
            items_of(domains, place),
            k=max(settings.cutoffs),
            filter_seen=run.config["metrics"]["filter_seen"],
            device=device,
        )
        by_domain.append(lists)
        targets = users.target_ids - (domains.spans[place].first_item - 1)
        counted = TargetRanks(*(column.cpu() for column in users._replace(target_ids=targets)))
        lengths = torch.from_numpy(histories.lengths)
        figures.append(_figures(lists, counted, lengths, items=facts[place], settings=settings))
    return MeasuredLists(by_domain, _over_domains(figures, domains.spans))


def item_facts(domains: SplitDomains) -> list[ItemFacts]:
    """What is known of the items of each domain, with the features of all its modalities.

    Whichever of them a model reads: systems are compared by the same features.
    """
    counts, user_counts = domains.train_counts.numpy(), domains.train_user_counts.numpy()
    in_training = domains.split.train_ends > domains.mixed.offsets[:-1]
    found = []
    for span, folder, users in zip(
        domains.spans, domains.folders, pairwise(domains.mixed.first_users), strict=True
    ):
        own = slice(span.first_item, span.last_item + 1)
        found.append(
            ItemFacts(
                counts=np.concatenate([[0], counts[own]]),
                user_counts=np.concatenate([[0], user_counts[own]]),
                num_users=int(in_training[slice(*users)].sum()),
                features=_all_features(folder, num_items=own.stop - own.start),
            )
        )
    return found


def _all_features(folder: Path, *, num_items: int) -> dict[str, Features]:
    """Modality -> features of a domain; none of a domain without, or with damaged ones."""
    if not (folder / FEATURES).is_dir():
        _log.info("%s has no features: the diversity of lists is not measured", folder)
        return {}
    try:
        names = [name for name in features_manifest(folder)["counts"] if name != TEXT_VIEW]
        found = read_features(folder, names, num_items=num_items)
    except (OSError, ValueError) as error:  # of a modality that the model may not even read
        _log.warning("the diversity of lists is not measured: %s", error)
        return {}
    return {name: Features(own.item_ids, own.values) for name, own in found.items()}


class _TestHistories:
    """What test users had before their targets, as the model reads it.

    Attributes:
        lengths: (U,) of the whole histories.
    """

    def __init__(self, domains: SplitDomains, user_ids: Tensor, *, max_seq_len: int) -> None:
        """Finds the users of a domain, by rising id, among the targets of the test."""
        offsets, targets = domains.mixed.offsets, domains.split.test
        users = user_ids.cpu().numpy()
        positions = targets[np.searchsorted(targets, offsets[users])]
        self.lengths = positions - offsets[users]
        self._dataset = SequenceDataset(
            items=domains.mixed.items,
            offsets=offsets,
            targets=positions,
            max_seq_len=max_seq_len,
            trim_padding=True,
        )

    def __len__(self) -> int:
        """U."""
        return len(self.lengths)

    def at(self, rows: np.ndarray, device: torch.device) -> SequenceBatch:
        """A batch of some of them."""
        return SequenceBatch(*(part.to(device) for part in self._dataset[rows]))


def _best_items(
    model: nn.Module,
    histories: _TestHistories,
    items: CatalogueItems,
    *,
    k: int,
    filter_seen: bool,
    device: torch.device,
) -> np.ndarray:
    """(U, K) items by their ids in the domain."""
    item_ids = torch.from_numpy(items.item_ids).to(device)
    search = exact_search(model, item_ids, key_ranks=items.key_ranks.to(device))
    k = min(k, len(items))
    lists = np.full((len(histories), k), PAD_ID, dtype=np.int64)
    # Histories of like lengths are read together: padding costs as much as items do.
    order = histories.lengths.argsort(kind="stable")
    for rows in np.split(order, range(_USERS_AT_ONCE, len(order), _USERS_AT_ONCE)):
        batch = histories.at(rows, device)
        wanted = _unseen(batch, first_item=int(item_ids[0])) if filter_seen else Wanted()
        encoded = encode_users(cast("Recommender", model), batch)
        found = search.top_k(encoded, k=k, wanted=wanted)
        lists[rows] = found.items.cpu().numpy() + 1  # counted from 0, -1 where there is none
    return lists


def _unseen(batch: SequenceBatch, *, first_item: int) -> Wanted:
    """What was not in the history; the target may come all the same, as in the ranking."""
    seen = batch.valid_mask & (batch.item_ids != batch.target_ids[:, None])
    users, places = seen.nonzero(as_tuple=True)
    excluded = batch.item_ids[users, places] - first_item
    return Wanted(excluded_users=users, excluded_items=excluded)


def _figures(
    lists: np.ndarray,
    users: TargetRanks,
    history_lengths: Tensor,
    *,
    items: ItemFacts,
    settings: ListSettings,
) -> dict[str, float]:
    """The metrics of one domain, without a prefix; targets by their ids in it."""
    is_cold_item = torch.from_numpy(items.counts)[users.target_ids] <= settings.cold_item
    is_cold_user = history_lengths <= settings.cold_user
    targets, cutoffs = users.target_ids.numpy(), settings.cutoffs
    return {
        **list_metrics(lists, target_ids=targets, items=items, cutoffs=cutoffs),
        **cold_recall(users, is_cold_item, name="cold_item", cutoffs=cutoffs),
        **cold_recall(users, is_cold_user, name="cold_user", cutoffs=cutoffs),
    }


def _over_domains(figures: list[dict[str, float]], spans: list[DomainSpan]) -> dict[str, float]:
    """Means over the domains, sums of users, beside the figures of each where there are several."""
    names = dict.fromkeys(name for own in figures for name in own)
    found = {}
    for name in names:
        known = [own[name] for own in figures if name in own]
        num_counted = 1 if name.endswith("_users") else len(known)
        found[f"test/{name}"] = sum(known) / num_counted
    if len(spans) > 1:
        for span, own in zip(spans, figures, strict=True):
            found |= {f"test/{span.name}/{name}": value for name, value in own.items()}
    return found
