"""Damaged files of a run, a domain and what is kept of them: each is read as it was, or refused."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from missrec.data.domain import read_domain, read_items
from missrec.data.manifest import MANIFEST, write_manifest
from missrec.features.codes import ItemCoding
from missrec.features.encoders.lsa import LsaEncoder
from missrec.features.quantization import OptimizedProductQuantizer
from missrec.features.store import FEATURES, read_features
from missrec.metrics.paired import read_paired
from missrec.metrics.signed import write_signed
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.finding import find_runs
from missrec.runs.folder import RunFolder
from missrec.runs.ranks import recorded_ranks
from missrec.runs.settings import UNMARKED
from missrec.search.study import DATABASE
from missrec.training.checkpoints import read_checkpoint, write_checkpoint
from mutation import KINDS, mutated
from search.study_worker import open_study
from synthetic import catalogue, text_and_image
from toy_encoder import write_items

KEPT = Path(__file__).resolve().parent / "kept_runs/format_0"
RUN, DOMAIN = KEPT / "logs/demo/sasrec_s1", KEPT / "data/demo_office"


class Case(NamedTuple):
    """A file, who reads it, and whether it, or another file, holds its checksum."""

    name: str
    file: Path
    read: Callable[[], object]
    has_checksum: bool


def cases(folder: Path) -> list[Case]:
    """The files of a kept run and its domain, as they are and as they are written today."""
    found = []
    for made in ("before", "today"):
        run, domain = folder / made / "run", folder / made / DOMAIN.name
        shutil.copytree(RUN, run)
        shutil.copytree(DOMAIN, domain)
        if made == "today":
            _write_again(run, domain)
        found += _cases(made, run, domain)
    return [*found, *_codes(folder / "codes"), *_lsa(folder), *_study(folder / "study")]


def tally(case: Case, *, number: int, draw: random.Random, others: list[bytes]) -> Counter[str]:
    """How often a file that is damaged is read as it was, refused, unnoticed, or stops the reader.

    The file is as before when this returns. What stopped the reader counts by its name.
    """
    original = case.file.read_bytes()
    expected, counts = repr(case.read()), Counter[str]()
    for index in range(number):
        kind = KINDS[index % len(KINDS)]
        case.file.write_bytes(mutated(original, kind, draw, other=draw.choice(others)))
        try:
            outcome = "same" if repr(case.read()) == expected else "unnoticed"
        except (ValueError, OSError) as error:
            one_line = len(str(error).splitlines()) == 1
            outcome = "refused" if one_line else f"many lines: {str(error)[:200]!r}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error} ({kind})"
            if isinstance(error, KeyboardInterrupt):
                raise
        counts[outcome] += 1
    case.file.write_bytes(original)
    return counts


def _cases(made: str, run: Path, domain: Path) -> list[Case]:
    today = made == "today"
    features = domain / FEATURES
    checkpoint = chosen_checkpoint(run)
    (ranks,) = recorded_ranks(run).values()

    def found_run() -> object:
        found = find_runs([run], marks=UNMARKED, shown_from=run.parent)
        if said := [*found.broken.values(), *found.unfinished.values()]:
            raise ValueError(said[0])
        (one,) = found.finished
        return one.settings, one.metrics, one.setup, one.seed

    def of_domain() -> object:
        read = read_domain(domain, with_times=True)
        times = None if read.times is None else read.times.tolist()
        rows = read_items(domain).rows()
        return read.name, read.num_items, read.items.tolist(), read.offsets.tolist(), times, rows

    def of_features() -> object:
        rows = len(read_items(domain))
        read = read_features(domain, ["text", "image"], num_items=rows)
        return {key: (one.item_ids.tolist(), one.values.tolist()) for key, one in read.items()}

    def of_ranks() -> object:
        return [table.rows() for table in read_paired([ranks])]

    def of_checkpoint() -> object:
        return {
            key: {name: value.tolist() for name, value in part.items()}
            if key == "state_dict"
            else part
            for key, part in read_checkpoint(checkpoint).items()
        }

    listed: list[tuple[Path, Callable[[], object], bool]] = [
        (checkpoint, of_checkpoint, True),
        (run / "config.yaml", RunFolder(run).read_config, today),
        (run / "config.yaml", found_run, today),
        (run / "metrics.json", found_run, today),
        (
            run / "provenance.json",
            lambda: (RunFolder(run).read_provenance(), chosen_checkpoint(run)),
            today,
        ),
        (run / "provenance.json", found_run, False),
        (ranks, of_ranks, today),
        (domain / MANIFEST, of_domain, today),
        *((domain / f"{name}.parquet", of_domain, True) for name in ("interactions", "items")),
        (features / MANIFEST, of_features, today),
        *((features / name, of_features, True) for name in ("text.npy", "image.item_ids.npy")),
    ]
    return [Case(f"{made}: {path.name}", path, read, known) for path, read, known in listed]


def _codes(folder: Path) -> list[Case]:
    """What is kept of item codes; what is damaged there is made again."""
    quantizer = OptimizedProductQuantizer(
        num_codebooks=2, num_codewords=4, items_per_codeword=1, num_rotations=1, seed=0
    )
    coding = ItemCoding(quantizer=quantizer, cache_dir=str(folder))
    items = catalogue(features={"text": text_and_image()["text"]})

    def read() -> object:
        codes = coding(items)
        arrays = [part.tolist() for books in codes.codebooks for part in books]
        return codes.codewords.tolist(), arrays

    read()
    (kept,) = folder.glob("[!.]*")
    return [Case(f"codes: {path.name}", path, read, True) for path in sorted(kept.iterdir())]


def _lsa(folder: Path) -> list[Case]:
    """A fitted LSA encoder."""
    texts = ["red paint brush", "paint brush blue", "green tea", "black tea leaves"]
    write_items(folder / "texts", texts)
    settings: dict[str, Any] = {
        "fit_on": [str(folder / "texts")],
        "cache_dir": str(folder / "lsa"),
        "dim": 2,
        "max_ngram": 1,
        "max_char_ngram": 3,
        "min_documents": 1,
        "max_terms": 100,
        "seed": 0,
    }
    LsaEncoder(**settings, fitted=None)
    (kept,) = (folder / "lsa").glob("lsa-*")

    def read() -> object:
        encoder = LsaEncoder(**settings, fitted=str(kept))
        return encoder.description("text"), encoder.load("text", texts).values.tolist()

    return [Case(f"LSA: {path.name}", path, read, True) for path in sorted(kept.iterdir())]


def _study(folder: Path) -> list[Case]:
    """The database of a study, which SQLite keeps without a checksum."""

    def read() -> object:
        with closing(open_study(folder)) as study:
            return [row.params for row in study.rows()]

    with closing(open_study(folder)) as study:
        for number in range(3):
            trial = study.take()
            assert trial is not None
            study.tell(trial, value=float(number))
    return [Case(f"study: {DATABASE}", folder / DATABASE, read, False)]


def _write_again(run: Path, domain: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    folder = RunFolder(run)
    folder.write_config(folder.read_config())
    folder.write_metrics(metrics)
    for path in recorded_ranks(run).values():
        write_signed(path, pl.read_parquet(path))
    for path in run.glob("checkpoints/*.ckpt"):
        write_checkpoint(path, read_checkpoint(path))
    for place in (domain, domain / FEATURES):
        facts = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        write_manifest(place, facts)
