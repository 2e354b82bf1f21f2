"""`python src/extract.py`: texts and images of domain folders into features."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from missrec.app.build import build
from missrec.app.prepare import prepare_missing
from missrec.app.train import quiet_lightning
from missrec.data.domain import read_items
from missrec.features.encoders.encoder import Encoder
from missrec.features.extraction import Extraction, Extractor
from missrec.features.inputs import InputSource, ItemTexts
from missrec.features.store import TEXT, TEXT_VIEW
from missrec.report.formats.extraction import print_extraction


def extract(cfg: DictConfig) -> dict[str, dict[str, Extraction]]:
    """Fetches and encodes what is missing in every domain folder of `cfg.data`.

    Returns:
        Domain -> modality -> what was done.

    Raises:
        FileNotFoundError, ValueError: a mistake in the config or the data.
    """
    quiet_lightning()
    prepare_missing(cfg)
    build_trainer(cfg, [])  # so that a mistake in it shows before hours of fetching
    sources: dict[str, InputSource] = {TEXT: ItemTexts()}
    if cfg.text_view:
        sources[TEXT_VIEW] = build(cfg, "text_view")
    if cfg.images:
        sources["image"] = build(cfg, "images")
    encoder: Encoder = build(cfg, "encoder")
    extractor = Extractor(
        encoder=encoder,
        make_trainer=partial(build_trainer, cfg),
        precision=cfg.trainer.precision,
        dtype=cfg.dtype,
        batch_size=cfg.batch_size,
        num_workers=cfg.num_workers,
        show_progress=cfg.show_progress,
    )
    modality_of = {name: TEXT if name == TEXT_VIEW else name for name in sources}
    done: dict[str, dict[str, Extraction]] = {}
    for folder in map(Path, cfg.data.folders):
        items = read_items(folder)
        done[folder.name] = {
            name: extractor.extract(
                folder, modality_of[name], source.find(folder.name, items), kept_as=name
            )
            for name, source in sources.items()
            if modality_of[name] in encoder.modalities
        }
    print_extraction(done)
    return done


def build_trainer(cfg: DictConfig, callbacks: list[Callback]) -> Trainer:
    """The Lightning trainer that encodes.

    Raises:
        ValueError: several processes that would each run the whole command.
    """
    # Each rank takes its batches itself; Lightning's sampler would take a share of that share.
    trainer: Trainer = build(cfg, "trainer", callbacks=callbacks, use_distributed_sampler=False)
    if trainer.world_size > 1 and not isinstance(
        trainer.strategy.launcher, _MultiProcessingLauncher
    ):
        raise ValueError(
            f"trainer.strategy ({cfg.trainer.strategy}) would run the whole command in each of "
            f"{trainer.world_size} processes; add trainer.strategy=ddp_spawn"
        )
    return trainer
