"""`python src/recommend.py`: the items of a trained run for users, histories or items, by keys."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from missrec.app.recommend_inputs import InputReader, ItemLists
from missrec.app.recommend_settings import RecommendSettings
from missrec.app.recommend_shards import ShardModule, ShardProgress, build_trainer
from missrec.app.trained.exported import is_exported
from missrec.app.trained.load_settings import LoadSettings
from missrec.app.trained.loading import load_recommender
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.manifest import MANIFEST
from missrec.data.sources.lines import Rejects
from missrec.distributed import is_first_process
from missrec.features.store import FEATURES
from missrec.files import make_folder, sha256, write_parquet
from missrec.report.formats.recommendations import Shown, print_recommendations
from missrec.retrieval.batch.answers import ITEM, LIST, SCORE, SIMILAR, Wish
from missrec.retrieval.batch.formats import join_tables
from missrec.retrieval.batch.parts import Parts
from missrec.retrieval.batch.requests import NO_KNOWN_ITEM
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.locks import only_writer
from missrec.training.silence import quiet_lightning

_PLURALS = {"user": "users", "history": "histories", "item": "items"}

_log = logging.getLogger(__name__)


def recommend(settings: RecommendSettings) -> None:
    """Writes what is asked for, and shows some of it by title.

    What is done so far lies beside the output, in `<out>.parts/`; the same command goes on with it.

    Raises:
        FileNotFoundError: the run, its data, its checkpoint or a file of keys is missing.
        ValueError: a file or a setting is wrong, or the parts are of another command.
        RunBusyError: another process makes the same output.
    """
    quiet_lightning()
    load = partial(load_recommender, **vars(settings.load))
    trainer = build_trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        callbacks=[ShardProgress()] if settings.show_progress else [],
    )
    is_alone = trainer.world_size == 1
    recommender = load(device=str(trainer.strategy.root_device) if is_alone else "cpu")
    with _output(settings) as output:
        parts = Parts(output)
        with _working_in(parts) if is_first_process() else nullcontext():
            lists = _prepare(settings, recommender, parts, output)
            wish = Wish(
                what=settings.inputs.what,
                k=settings.k,
                exclude_seen=settings.exclude_seen,
                vectors=settings.vectors,
                batch_size=settings.batch_size,
                **lists._asdict(),
            )
            own = recommender if is_alone else None
            module = ShardModule(load=load, recommender=own, parts=parts, wish=wish)
            trainer.predict(module, return_predictions=False)
            if is_first_process():
                _finish(settings, recommender, parts, output)


@contextmanager
def _working_in(parts: Parts) -> Iterator[None]:
    """Inside, no other process makes the output; a mistake before the first shard leaves nothing.

    Raises:
        RunBusyError: another process is inside.
    """
    with only_writer(parts.folder):
        try:
            yield
        finally:
            if not parts.has_answers:
                parts.remove()


def _prepare(
    settings: RecommendSettings, recommender: CatalogueRecommender, parts: Parts, output: Path
) -> ItemLists:
    """Reads the files and cuts what is asked for into shards, unless a killed command has."""
    if is_first_process():
        parts.begin(_asked(settings), overwrite=settings.overwrite)
    cuts = is_first_process() and parts.prepared is None
    place = _beside(output, "rejects.csv")
    if cuts:
        place.unlink(missing_ok=True)
    # Who does not cut lists no row: that has been done, or the first process does it.
    listed = str(place) if cuts else None
    with Rejects(path=listed, max_share=settings.inputs.max_share) as rejects:
        reader = InputReader(settings.inputs, recommender, rejects=rejects)
        lists = reader.item_lists()
        if cuts:
            limit = settings.show if settings.out is None else None
            cut = reader.cut(parts.write_requests, shard_size=settings.shard_size, limit=limit)
            unknown = _beside(output, "unknown.csv")
            reader.unknown.write(unknown)
            facts = {"num_requests": cut.num_requests, "num_shards": cut.num_shards}
            shown = str(unknown) if settings.out else None  # else it is gone with the parts
            found = {"unknown": reader.unknown.summary(), "unknown_file": shown}
            parts.finish_requests({**facts, **found})
    if is_first_process():
        _tell(parts, output)
    return lists


@contextmanager
def _output(settings: RecommendSettings) -> Iterator[Path]:
    """Where the output goes; into a folder that is gone afterwards where it is only shown."""
    if settings.out is not None:
        make_folder(settings.out.parent)
        yield settings.out
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "recommendations.parquet"


def _asked(settings: RecommendSettings) -> dict[str, Any]:
    """All that the output depends on."""
    of_load = ("domain", "index", "new_items", "new_item_ids")
    names = ("k", "exclude_seen", "vectors", "batch_size", "shard_size")
    return {
        **_model(settings.load),
        **{name: getattr(settings.load, name) for name in of_load},
        **{name: getattr(settings, name) for name in names},
        **settings.inputs.described(),
    }


def _model(settings: LoadSettings) -> dict[str, Any]:
    """The model and its data, by their checksums."""
    run = RunFolder(Path(settings.run).expanduser())
    if is_exported(run.path):
        return {"run": sha256(run.path / MANIFEST), "checkpoint": None, "data": {}}
    checkpoint = None
    with suppress(FileNotFoundError):  # a model that learns nothing has none
        checkpoint = sha256(chosen_checkpoint(run.path))
    saved = read_saved_run(run, data_dir=settings.data_dir, trust=True)
    manifests = [
        manifest
        for folder in saved.data.folders
        for manifest in (folder / MANIFEST, folder / FEATURES / MANIFEST)
        if manifest.is_file()
    ]
    data = {str(path): sha256(path) for path in manifests}
    return {"run": sha256(run.config), "checkpoint": checkpoint, "data": data}


def _tell(parts: Parts, output: Path) -> None:
    """Says what is done already, and which keys are unknown."""
    prepared = parts.prepared or {}
    num_shards = prepared["num_shards"]
    num_done = num_shards - len(parts.missing(num_shards))
    if num_done:
        _log.info("%s: %s of %s shards are done already", output.name, num_done, num_shards)
    place = prepared["unknown_file"]
    see = f"; see {place}" if place else ""
    for what, (number, first) in prepared["unknown"].items():
        where = what if what in _PLURALS else f"in {what}"
        label = what if NO_KNOWN_ITEM in what else f"unknown {where}"
        _log.warning("%s: %s, such as %r%s", label, f"{number:,}", first, see)


def _finish(
    settings: RecommendSettings, recommender: CatalogueRecommender, parts: Parts, output: Path
) -> None:
    """Shows the first requests, joins the shards into the output, and removes them."""
    prepared = parts.prepared or {}
    num_shards, num_requests = prepared["num_shards"], prepared["num_requests"]
    what = settings.inputs.what
    if settings.show:
        _show(settings.show, what, recommender, parts, num_requests=num_requests)
    if settings.out is None:
        return
    vectors = []
    if settings.vectors:
        vectors = _write_vectors(recommender, parts.vectors(num_shards), output)
    tables = parts.answers(num_shards)
    join_tables(output, tables)
    counts = pl.concat(  # shard after shard, so that few keys are in memory
        pl.read_parquet(table, columns=[what]).select(rows=pl.len(), served=pl.col(what).n_unique())
        for table in tables
    ).sum()
    parts.remove()
    num_rows, num_served = counts.row(0)
    _log.info(
        "%s: %s rows for %s of %s %s",
        output,
        f"{num_rows:,}",
        f"{num_served:,}",
        f"{num_requests:,}",
        _PLURALS[what],
    )
    for path in vectors:
        _log.info("vectors: %s", path)


def _show(
    number: int, what: str, recommender: CatalogueRecommender, parts: Parts, *, num_requests: int
) -> None:
    """Shows what is found for the first requests, by title."""
    titles = dict(recommender.items.iter_rows())
    requests = parts.read_requests(0)
    found = pl.read_parquet(parts.answers(1)[0])
    item = SIMILAR if what == ITEM else ITEM
    shown = []
    for key, history in zip(requests.keys[:number], requests.histories, strict=False):
        own = found.filter(pl.col(what) == key)
        of_list = own[LIST] if LIST in own.columns else [""] * len(own)
        shown.append(
            Shown(
                titles[key] if what == ITEM else key,
                [] if what == ITEM else [titles[one] for one in history],
                [
                    (f"{name}: {titles[one]}" if name else titles[one], score)
                    for name, one, score in zip(of_list, own[item], own[SCORE], strict=True)
                ],
            )
        )
    of = f" of {num_requests:,}" if num_requests > len(shown) else ""
    title = f"{len(shown):,}{of} {_PLURALS[what]}"
    print_recommendations(title, shown, similar=what == ITEM)


def _write_vectors(
    recommender: CatalogueRecommender, tables: Sequence[Path], output: Path
) -> list[Path]:
    """Writes the vectors of users and of items beside the output."""
    users, items = (_beside(output, f"{kind}_vectors.parquet") for kind in ("user", "item"))
    join_tables(users, tables)
    write_parquet(items, recommender.item_vectors())
    return [users, items]


def _beside(output: Path, ending: str) -> Path:
    """A file beside the output, such as `recs.unknown.csv` beside `recs.csv.gz`."""
    suffixes = "".join(output.suffixes[-2:] if output.suffix == ".gz" else output.suffixes[-1:])
    return output.with_name(f"{output.name.removesuffix(suffixes)}.{ending}")
