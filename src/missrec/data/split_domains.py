"""The domains of a run, read and split, for whatever works on them; no Lightning in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from missrec.data.domain import read_domain
from missrec.data.identity import domain_identities, split_mixed
from missrec.data.mixing import MixedDomains, mix_domains
from missrec.data.parts import Part, parts_of
from missrec.data.splits import AnySplitter, NothingHeldOut, Split, SplitError, seen_in_training
from missrec.metrics.beyond_accuracy import users_per_item
from missrec.types import DomainSpan, TrainSequences


def read_mixed(folders: Sequence[Path], splitter: AnySplitter) -> MixedDomains:
    """The domains of some folders, checked, with the times where the splitter needs them.

    Raises:
        FileNotFoundError, ValueError: see `read_domain`; or the split needs times that a domain
            does not have, or two folders are of one domain.
    """
    domains = [read_domain(folder, with_times=splitter.needs_times) for folder in folders]
    folder_of: dict[str, Path] = {}
    for folder, domain in zip(folders, domains, strict=True):
        if (other := folder_of.setdefault(domain.name, folder)) != folder:
            raise ValueError(
                f"{other} and {folder} both hold a domain named {domain.name}, by which its "
                "metrics are told apart; prepare one of them under another name"
            )
        if splitter.needs_times and domain.times is None:
            raise SplitError(
                f"{folder} has the order of the interactions but not their times, which "
                "this split needs"
            )
    return mix_domains(domains)


class SplitDomains:
    """Domains side by side, and what of them is trained on, validated on and tested on.

    Attributes:
        folders: of each domain, in the order of `spans`.
        mixed: their interactions.
    """

    def __init__(self, folders: Sequence[Path], splitter: AnySplitter) -> None:
        """Reads and checks the domain folders; splits them once that is asked for.

        Raises:
            FileNotFoundError, ValueError: see `read_mixed`.
        """
        self.folders = list(folders)
        self.mixed = read_mixed(self.folders, splitter)
        self._splitter = splitter

    @cached_property
    def split(self) -> Split:
        """What of the interactions is for what.

        Raises:
            ValueError: they cannot be split in this way.
        """
        return split_mixed(self.mixed, self.folders, self._splitter)

    @property
    def holds_out(self) -> bool:
        """Whether there is anything to validate and to test on."""
        return not isinstance(self._splitter, NothingHeldOut)

    @property
    def num_items(self) -> int:
        """N, over all domains."""
        return self.mixed.num_items

    @property
    def spans(self) -> list[DomainSpan]:
        """The item ids of each domain."""
        return self.mixed.spans

    @property
    def identities(self) -> dict[str, dict[str, Any]]:
        """By which each domain and its split are known again, see `domain_identities`."""
        return domain_identities(self.mixed, self.folders, self._splitter)

    def parts(self, names: Sequence[str]) -> list[Part]:
        """The users of each domain to validate (`val`) and to test on (`test`).

        Raises:
            SplitError: the split leaves none.
        """
        return list(parts_of(self.mixed, self.folders, self.split, names=names))

    @property
    def train_counts(self) -> Tensor:
        """(N + 1,) int64, how often each item occurs in the training sequences."""
        seen = seen_in_training(self.mixed.offsets, self.split.train_ends)
        counts = np.bincount(self.mixed.items[seen], minlength=self.num_items + 1)
        return torch.from_numpy(counts)

    @property
    def train_user_counts(self) -> Tensor:
        """(N + 1,) int64, how many users have each item in their training sequence."""
        starts, ends = self.mixed.offsets[:-1], self.split.train_ends
        items = self.mixed.items[seen_in_training(self.mixed.offsets, ends)]
        offsets = np.concatenate([[0], (ends - starts).cumsum()])
        return torch.from_numpy(users_per_item(items, offsets, num_items=self.num_items + 1))

    @property
    def train_sequences(self) -> TrainSequences:
        """Of all users; the arrays are shared, not copied."""
        parts = (self.mixed.items, self.mixed.offsets[:-1], self.split.train_ends)
        return TrainSequences(*map(torch.from_numpy, parts))
