"""What the explorer shows of a run beside its recommender: pictures of the items, the epochs."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl

from missrec.app.trained.exported import is_exported
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.domain import ITEMS
from missrec.features.images.folder import ImagesFromFolder
from missrec.features.images.naming import IMAGES
from missrec.features.images.record import MANIFEST, recorded_files
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.runs.folder import RunFolder
from missrec.serving.exploring import Explorer
from missrec.serving.pictures import Pictures

_EPOCHS = Path("interests", "epochs.parquet")
_MAPS = Path("interests", "epoch_maps.parquet")


def explorer_of(
    recommender: CatalogueRecommender,
    run: Path,
    *,
    data_dir: Path,
    domain: str | None = None,
    trust: bool = False,
) -> Explorer:
    """The explorer of a run, ready for its first view.

    With an exported model neither pictures nor epochs go along, so it has none.

    Args:
        recommender: of the run.
        run: its folder, or one that was exported.
        data_dir: where the domain folders are, and the images.
        domain: of the recommender, where the run has several.
        trust: whether the config may name code that is none of this project's.

    Raises:
        FileNotFoundError: the folder is no run folder.
        ValueError: its config or the record of the images cannot be read.
    """
    if is_exported(run):
        return Explorer(recommender).prepare()
    saved = read_saved_run(RunFolder(run), data_dir=data_dir, trust=trust, built=())
    folders = saved.data.folders
    folder = next(one for one in folders if domain is None or one.name == domain)
    pictures = pictures_of(folder, data_dir / IMAGES)
    explorer = Explorer(recommender, pictures=pictures, epochs=epochs_of(run), maps=maps_of(run))
    return explorer.prepare()


def pictures_of(domain_folder: Path, images: Path) -> Pictures:
    """The pictures of a domain's items.

    Those that were fetched go by their record; where none were, files that `images=folder` would
    take there: named by the item's key, or as the item names them.

    Args:
        domain_folder: of the items.
        images: folder of the image folders of all domains.
    """
    folder = images / domain_folder.name
    if (folder / MANIFEST).is_file():
        return Pictures(images, recorded_files(folder))
    if not folder.is_dir():
        return Pictures()
    items = pl.read_parquet(domain_folder / ITEMS)
    source = ImagesFromFolder(folder=str(folder), placeholder_min_share=1, placeholder_min_items=1)
    return Pictures(images, source.files(items))


def epochs_of(run: Path) -> list[dict[str, float | None]]:
    """What was noted of the interests as each epoch began; nothing where nothing was."""
    path = run / _EPOCHS
    if not path.is_file():
        return []
    return [
        {name: value if math.isfinite(value) else None for name, value in row.items()}
        for row in pl.read_parquet(path).iter_rows(named=True)
    ]


def maps_of(run: Path) -> pl.DataFrame | None:
    """Where the interests lay as each epoch began; None where that was not noted."""
    path = run / _MAPS
    return pl.read_parquet(path) if path.is_file() else None
