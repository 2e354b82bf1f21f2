"""A run folder as a recommender of what it was trained on; `missrec.load`. No Lightning in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from missrec.app.command_line.remedies import remedy_of
from missrec.app.model import ModelOnData, build_model, open_domains
from missrec.app.settings import accepts, read_new_items, read_run
from missrec.app.trained.exported import ExportedModel, is_exported, read_exported
from missrec.app.trained.new_items import bring_in, domain_places, find_items
from missrec.app.trained.same_data import check_run
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.domain import USERS, read_titles
from missrec.data.split_domains import SplitDomains
from missrec.features.checks import check_truths
from missrec.retrieval.catalogue import UNKNOWN, CatalogueItems, CatalogueUsers
from missrec.retrieval.histories import Histories
from missrec.retrieval.indexes import named_index
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder, data_places, placed_today
from missrec.runs.trust import UntrustedError
from missrec.training.checkpoints import model_state
from missrec.types import DomainSpan

_BUILT = ("model", "datamodule.split")
_DEVICE = re.compile(r"(cpu|cuda|mps)(:\d+)?")
"""Sections of a run's config that are built here; of all else, nothing is even imported."""

_NOBODY = CatalogueUsers(
    domain="an exported model",
    keys=pl.Series(dtype=pl.String),
    histories=Histories(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)),
)
"""No user is exported."""


def load_recommender(
    run: str | Path,
    *,
    data_dir: str | Path | None = None,
    index: str = "exact",
    device: str = "cpu",
    trust: bool = False,
    changed_data: str = "refuse",
    domain: str | None = None,
    new_items: str = "refuse",
    new_item_ids: str = "zero",
    shared: Path | None = None,
) -> CatalogueRecommender:
    """The model of a run on the items of one of its domains; see `missrec.load`.

    Several processes with one `shared` have one table and one index, see `retrieval.mapped`.
    """
    check_truths(trust=trust)
    moving = read_new_items({"new_items": new_items, "new_item_ids": new_item_ids})
    accept, place = accepts(changed_data), _device(device)
    make_index = named_index(index, shared=shared)
    folder = RunFolder(Path(run).expanduser())
    if is_exported(folder.path):
        if moving is not None:
            raise ValueError(
                f"{folder.path} is an exported model, which has its items with it; "
                "new_items=features is for the run that it was made of"
            )
        exported = read_exported(folder.path, trust=trust)
        return CatalogueRecommender(
            model=exported.model.to(place),
            items=_exported_items(exported, _chosen(exported.spans, domain)),
            users=_NOBODY,
            index=make_index,
            max_seq_len=exported.max_seq_len,
            device=place,
            shared=shared,
        )
    where = _data_dir(folder) if data_dir is None else Path(data_dir).expanduser().absolute()
    settings = read_saved_run(folder, data_dir=where, trust=trust, built=_BUILT)
    domains = open_domains(settings)
    chosen = _chosen(domains.spans, domain)
    built = build_model(settings, domains)
    known: np.ndarray | None = None
    if moving is None:
        check_run(folder, built.identity, accept=accept)
        load_weights(built.model, folder)
    else:
        known = _bring_in(folder, built, domains, accept=accept, predict_ids=moving.predict_ids)
    items, users = catalogue_of(domains, chosen, known=known)
    return CatalogueRecommender(
        model=built.model.to(place),
        items=items,
        users=users,
        index=make_index,
        max_seq_len=settings.config["datamodule"]["max_seq_len"],
        device=place,
        shared=shared,
        features=built.catalogue.features if settings.modalities else None,
    )


@contextmanager
def remedies_noted() -> Iterator[None]:
    """Inside, an error about a run or its data gets a note of what to do, which Python shows."""
    try:
        yield
    except UntrustedError as error:
        error.add_note("if you trust whoever made the run: trust=True")
        raise
    except (OSError, ValueError) as error:
        if remedy := remedy_of(error):
            error.add_note(remedy)
        raise


def load_weights(model: nn.Module, folder: RunFolder) -> None:
    """Puts the weights that validation chose into a model that has any.

    Raises:
        FileNotFoundError: the run has no checkpoint.
        ValueError: it is damaged, or of another model.
    """
    if not _learns(model):
        return
    checkpoint = chosen_checkpoint(folder.path)
    try:
        model.load_state_dict(model_state(checkpoint))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{checkpoint} cannot be loaded: {reason}; the run's config or data has changed since"
        ) from error


def _bring_in(
    folder: RunFolder, built: ModelOnData, domains: SplitDomains, *, accept: bool, predict_ids: bool
) -> np.ndarray | None:
    """Fills a model for today's items with what a run has learnt, item by item.

    Returns:
        (N + 1,) bool, False of items of which it knows nothing; None where it learns nothing.
    """
    places = domain_places(domains)
    items = find_items(folder, *places, built.identity, accept=accept).items
    if not _learns(built.model):
        return None
    taken = bring_in(
        built.model,
        model_state(chosen_checkpoint(folder.path)),
        items,
        built.catalogue.features,
        predict_ids=predict_ids,
    )
    known: np.ndarray = taken.recommendable.numpy()
    return known


def _learns(model: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in model.parameters())


def items_of(
    domains: SplitDomains, chosen: int, *, known: np.ndarray | None = None
) -> CatalogueItems:
    """The items of one of the domains of a run, as `catalogue_of` has them."""
    span = domains.spans[chosen]
    titles = read_titles([domains.folders[chosen]])
    return CatalogueItems(
        domain=span.name,
        keys=titles["item_key"],
        titles=titles["title"],
        first_id=span.first_item,
        known=None if known is None else known[span.first_item : span.last_item + 1],
    )


def catalogue_of(
    domains: SplitDomains, chosen: int, *, known: np.ndarray | None = None
) -> tuple[CatalogueItems, CatalogueUsers]:
    """The items and the users of one of the domains of a run.

    Args:
        domains: of the run.
        chosen: place of the domain among them.
        known: (N + 1,) bool, False of items that the model knows nothing of; None for all.
    """
    span, folder, mixed = domains.spans[chosen], domains.folders[chosen], domains.mixed
    items = items_of(domains, chosen, known=known)
    first, last = mixed.first_users[chosen : chosen + 2]
    offsets = mixed.offsets[first : last + 1]
    numbers = items.numbers_of(mixed.items[offsets[0] : offsets[-1]])
    histories = Histories(numbers, offsets - offsets[0]).only(numbers != UNKNOWN)
    keys = pl.read_parquet(folder / USERS).sort("user_id")["user_key"]
    return items, CatalogueUsers(domain=span.name, keys=keys, histories=histories)


def _data_dir(folder: RunFolder) -> Path:
    """Where the domain folders of a run lie today.

    Where the run had them, in `data` of a folder that the run lies in, or in `data` here: the
    first that has them all.
    """
    here = Path("data").absolute()
    if not folder.config.is_file():
        return here  # who reads it says so
    config = folder.read_config()
    read_run(config)  # refuses what is no config of a run
    before = (config.get("paths") or {}).get("data_dir")
    found = [parent / "data" for parent in folder.path.parents]
    places = data_places(config)
    for where in [*([Path(before)] if before else []), *found, here]:
        if all(placed_today(place, where).is_dir() for place in places):
            return where
    return here


def _device(device: str) -> torch.device:
    """The device, once a tensor has been there."""
    try:
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        if not _DEVICE.fullmatch(device):
            raise ValueError(
                f"device ({device}) must be cpu, cuda, cuda:<number> or mps"
            ) from error
        reason = re.split(r"\n|\. ", str(error))[0]
        raise ValueError(
            f"device ({device}) cannot be used: {reason}; take device=cpu, or a machine that has it"
        ) from error


def _exported_items(exported: ExportedModel, place: int) -> CatalogueItems:
    """The items of the domain at this place among those of an exported model."""
    span = exported.spans[place]
    rows = exported.items[span.first_item - 1 : span.last_item]
    return CatalogueItems(
        domain=span.name, keys=rows["item_key"], titles=rows["title"], first_id=span.first_item
    )


def _chosen(spans: Sequence[DomainSpan], name: str | None) -> int:
    names = [span.name for span in spans]
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        said = "" if name is None else f" ({name})"
        raise ValueError(f"domain{said} must be one of those of the run: {', '.join(names)}")
    return names.index(name)
