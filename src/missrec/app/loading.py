"""A run folder as a recommender of what it was trained on; `missrec.load`. No Lightning in it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from torch import nn

from missrec.app.model import build_model, open_domains
from missrec.app.same_data import check_run
from missrec.app.saved_run import read_saved_run
from missrec.app.settings import accepts
from missrec.data.domain import USERS, read_titles
from missrec.data.split_domains import SplitDomains
from missrec.retrieval.catalogue import CatalogueItems, CatalogueUsers
from missrec.retrieval.exact import ExactSearch
from missrec.retrieval.histories import Histories
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import model_state

_BUILT = ("model", "datamodule.split")
"""Sections of a run's config that are built here; of all else, nothing is even imported."""


def load_recommender(
    run: str | Path,
    *,
    data_dir: str | Path | None = None,
    index: str = "exact",
    device: str = "cpu",
    trust: bool = False,
    changed_data: str = "refuse",
    domain: str | None = None,
) -> CatalogueRecommender:
    """The chosen checkpoint of a run on the items of one of its domains, see `missrec.load`."""
    folder = RunFolder(Path(run))
    settings = read_saved_run(
        folder, data_dir=_data_dir(folder, data_dir), trust=trust, built=_BUILT
    )
    domains = open_domains(settings)
    place = _domain_place(domains, domain)
    built = build_model(settings, domains)
    check_run(folder, built.identity, accept=accepts(changed_data))
    load_weights(built.model, folder)
    model = built.model.to(device)
    items, users = catalogue_of(domains, place)
    return CatalogueRecommender(
        model=model,
        items=items,
        users=users,
        index=ExactSearch,
        max_seq_len=settings.config["datamodule"]["max_seq_len"],
        device=device,
    )


def load_weights(model: nn.Module, folder: RunFolder) -> None:
    """Puts the weights that validation chose into a model that has any.

    Raises:
        FileNotFoundError: the run has no checkpoint.
        ValueError: it is damaged, or of another model.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return
    checkpoint = chosen_checkpoint(folder.path)
    try:
        model.load_state_dict(model_state(checkpoint))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{checkpoint} does not fit: {reason}; the run's config or data has changed since"
        ) from error


def catalogue_of(domains: SplitDomains, place: int) -> tuple[CatalogueItems, CatalogueUsers]:
    """The items and the users of the domain at this place among those of a run."""
    span, folder, mixed = domains.spans[place], domains.folders[place], domains.mixed
    titles = read_titles([folder])
    items = CatalogueItems(
        domain=span.name,
        keys=titles["item_key"],
        titles=titles["title"],
        first_id=span.first_item,
    )
    first, last = mixed.first_users[place : place + 2]
    offsets = mixed.offsets[first : last + 1]
    users = CatalogueUsers(
        domain=span.name,
        keys=pl.read_parquet(folder / USERS).sort("user_id")["user_key"],
        histories=Histories(
            mixed.items[offsets[0] : offsets[-1]] - span.first_item, offsets - offsets[0]
        ),
    )
    return items, users


def _data_dir(folder: RunFolder, data_dir: str | Path | None) -> Path:
    """Where the domain folders are: as said, where the run had them, or in `data` here."""
    if data_dir is not None:
        return Path(data_dir).expanduser().absolute()
    here = Path("data").absolute()
    if not folder.config.is_file():
        return here  # whoever reads it says so
    saved = (folder.read_config().get("paths") or {}).get("data_dir")
    return Path(saved) if isinstance(saved, str) and Path(saved).is_dir() else here


def _domain_place(domains: SplitDomains, name: str | None) -> int:
    names = [span.name for span in domains.spans]
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        said = "" if name is None else f" ({name!r})"
        raise ValueError(f"domain{said} must be one of those of the run: {', '.join(names)}")
    return names.index(name)
