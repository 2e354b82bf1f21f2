"""`python src/extract.py`: texts and images of domain folders into features."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from missrec.app.fitted import with_fitted
from missrec.app.model import build
from missrec.app.prepare import prepare_missing, read_features_of_one
from missrec.app.session import plain
from missrec.app.settings import Config, read_data, read_paths
from missrec.data.domain import read_items
from missrec.features.encoders.encoder import Encoder
from missrec.features.extraction import Extraction, Extractor
from missrec.features.given import put_features
from missrec.features.images.naming import ADDRESS
from missrec.features.images.urls import ImagesFromUrls
from missrec.features.inputs import OK, InputSource, ItemTexts
from missrec.features.store import TEXT, TEXT_VIEW
from missrec.features.vectors import Vectors
from missrec.report.formats.extraction import print_extraction
from missrec.training.silence import quiet_lightning

_NAME = re.compile(r"(?a:\w+)")
_log = logging.getLogger(__name__)


def extract(cfg: DictConfig) -> dict[str, dict[str, Extraction]]:
    """Fetches and encodes what is missing in every domain folder of `cfg.data`.

    Where the command names features that were made elsewhere, it takes these over and does no more.

    Returns:
        Domain -> modality -> what was done.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
    """
    config = plain(cfg)
    data = read_data(config)
    quiet_lightning()
    kept_as = partial(_kept_as, _feature_set(config))
    given = read_features_of_one(config, data)
    prepare_missing(read_paths(config), data)
    if given:
        return _take_over(given, data.folders[0])
    build_trainer(config, [])  # so that a mistake in it shows before hours of fetching
    sources: dict[str, InputSource] = {TEXT: ItemTexts()}
    if config["text_view"]:
        sources[TEXT_VIEW] = build(config, "text_view")
    if config["images"]:
        sources["image"] = build(config, "images")
    encoder: Encoder = build(with_fitted(config), "encoder")
    extractor = Extractor(
        encoder=encoder,
        make_trainer=partial(build_trainer, config),
        precision=config["trainer"]["precision"],
        dtype=config["dtype"],
        batch_size=config["batch_size"],
        num_workers=config["num_workers"],
        show_progress=config["show_progress"],
    )
    modality_of = {name: TEXT if name == TEXT_VIEW else name for name in sources}
    done: dict[str, dict[str, Extraction]] = {}
    for folder in data.folders:
        items = read_items(folder)
        if "image" in sources:
            warn_of_unread_images(folder.name, items, sources["image"], encoder)
        done[folder.name] = {
            kept_as(name): extractor.extract(
                folder, modality_of[name], source.find(folder.name, items), kept_as=kept_as(name)
            )
            for name, source in sources.items()
            if modality_of[name] in encoder.modalities
        }
    print_extraction(done)
    return done


def _feature_set(config: Config) -> str | None:
    """The name of the set that is extracted, where it is not to take the place of what is there.

    Raises:
        ValueError: it is no name, or a second view of the texts is asked for, which goes with the
            texts' own features.
    """
    name = config["feature_set"]
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(
            f"feature_set ({name}) must be letters, digits and underscores, such as lsa"
        )
    if _kept_as(name, TEXT) == TEXT_VIEW:
        raise ValueError(f"feature_set ({name}): {TEXT_VIEW} is a second view of the texts")
    if name and config["features"]["files"]:
        raise ValueError(
            f"feature_set ({name}) and features.files: the latter names the features itself"
        )
    if name and config["text_view"]:
        raise ValueError(
            f"feature_set ({name}) and text_view: a second view is of the texts' own features; "
            "extract it in a command of its own"
        )
    return name


def _kept_as(feature_set: str | None, modality: str) -> str:
    return f"{modality}_{feature_set}" if feature_set else modality


def warn_of_unread_images(
    domain: str, items: pl.DataFrame, source: InputSource, encoder: Encoder
) -> None:
    """Says where items have images and this command cannot read them.

    Args:
        domain: name of the domain.
        items: as `read_items` returns them.
        source: where the images come from.
        encoder: what would encode them.
    """
    from_urls = isinstance(source, ImagesFromUrls)
    named = items.select(url=pl.col("image_urls").list.first()).filter(pl.col("url") != "")
    if "image" not in encoder.modalities:
        if named.height or not from_urls:
            _log.warning(
                "%s: this encoder reads %s, no images, and they are left out; encoder=clip reads "
                "them, images=none leaves them out without this warning",
                domain,
                " and ".join(encoder.modalities),
            )
    elif from_urls and (paths := named.filter(~pl.col("url").str.contains(ADDRESS))).height:
        _log.warning(
            "%s: %s items name a file, such as %s, and no address of their image; "
            "images=folder images.folder=<folder that the files are in> reads them",
            domain,
            f"{paths.height:,}",
            paths.item(0, 0),
        )


def _take_over(given: Mapping[str, Vectors], folder: Path) -> dict[str, dict[str, Extraction]]:
    done = {}
    for modality, vectors in given.items():
        outcomes = put_features(folder, modality, vectors, name=folder.name)
        done[modality] = Extraction(sum(outcomes.values()), outcomes[OK], 0, 0.0, outcomes)
    print_extraction({folder.name: done})
    return {folder.name: done}


def build_trainer(config: Config, callbacks: list[Callback]) -> Trainer:
    """The Lightning trainer that encodes.

    Raises:
        ValueError: several processes that would each run the whole command.
    """
    # Each rank takes its batches itself; Lightning's sampler would take a share of that share.
    trainer: Trainer = build(config, "trainer", callbacks=callbacks, use_distributed_sampler=False)
    if trainer.world_size > 1 and not isinstance(
        trainer.strategy.launcher, _MultiProcessingLauncher
    ):
        strategy = config["trainer"]["strategy"]
        raise ValueError(
            f"trainer.strategy ({strategy}) would run the whole command in each of "
            f"{trainer.world_size} processes; add trainer.strategy=ddp_spawn"
        )
    return trainer
