"""Tiny domains, features and released files that the tests share; everything is seeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from missrec.data.datamodule import SequenceDataModule
from missrec.data.domain import PreparedDomain, flatten, write_domain
from missrec.data.sources.released import HEADER, ReleasedDomain
from missrec.data.splits import LeaveOneOut
from missrec.features.store import ModalityFeatures, write_features
from missrec.features.table import FeatureTable
from missrec.files import replace_folder
from missrec.interests.clustering import DPCKNN
from missrec.interests.neighbors import ExactNeighbors
from missrec.types import PAD_ID, Catalogue, SequenceBatch, TrainSequences

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real data sets, beside the project; may be absent."""

PARITY = SHARED_DATA.parent / "reference" / "parity"
"""Numbers of the public reference implementations; may be absent."""

NAME = "tiny"
NUM_ITEMS = 6
SEQUENCES = [[1, 2, 3, 4, 5], [3, 1, 2], [5, 4, 1, 2], [2, 5, 3, 1, 4, 6]]
"""Four users, 18 interactions, 6 training samples; item 6 is cold, user 1 has no sample."""

MISSING_IMAGES = (2, 5)
WIDTHS = {"text": 4, "image": 3}


def random_sequences(
    *, num_users: int, num_items: int, shortest: int = 3, longest: int = 12, seed: int = 0
) -> list[list[int]]:
    """Item ids in 1..num_items of each user, with lengths in shortest..longest."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, longest + 1, size=num_users)
    return [generator.integers(1, num_items + 1, size=length).tolist() for length in lengths]


def dpc_knn(**changes: Any) -> DPCKNN:
    """DPC-KNN as the paper has it, in small blocks, with other settings on request."""
    settings = {
        "num_neighbors": 5,
        "include_self": False,
        "scale_distances": False,
        "break_ties": True,
        "mean_prototypes": True,
        "search": ExactNeighbors(),
        "block_bytes": 1 << 20,
    }
    return DPCKNN(**settings | changes)


def demo_source_sizes(*, num_users: int, num_items: int) -> list[str]:
    """Overrides of a config that make the source domains of the demo small."""
    return [
        f"data.sources.demo_{name}.{size}"
        for name in ("kitchen", "garden", "music")
        for size in (f"num_users={num_users}", f"num_items={num_items}")
    ]


def raw_features(
    *, num_items: int = NUM_ITEMS, width: int, missing: Sequence[int] = (), seed: int = 0
) -> np.ndarray:
    """(N, F) float32 standard normal; the rows of the missing items are zero."""
    values = np.random.default_rng(seed).standard_normal((num_items, width), dtype=np.float32)
    values[np.asarray(missing, dtype=np.int64) - 1] = 0
    return values


def text_and_image(
    *,
    num_items: int = NUM_ITEMS,
    widths: Mapping[str, int] = WIDTHS,
    missing_images: Sequence[int] = MISSING_IMAGES,
) -> dict[str, np.ndarray]:
    """Raw features of two modalities; every item has a text, some have no image."""
    return {
        "text": raw_features(num_items=num_items, width=widths["text"], seed=1),
        "image": raw_features(
            num_items=num_items, width=widths["image"], missing=missing_images, seed=2
        ),
    }


def prepared_domain(
    sequences: Sequence[Sequence[int]] = SEQUENCES,
    *,
    name: str = NAME,
    num_items: int = NUM_ITEMS,
    features: Mapping[str, np.ndarray] | None = None,
    times: Sequence[int] | None = None,
) -> PreparedDomain:
    """A domain in memory, by default with `text_and_image` features and without times."""
    items, offsets = flatten(sequences)
    return PreparedDomain(
        name=name,
        items=items,
        offsets=offsets,
        times=None if times is None else np.asarray(times, dtype=np.int64),
        user_keys=[f"user-{user}" for user in range(len(sequences))],
        item_keys=[f"item-{item}" for item in range(1, num_items + 1)],
        item_texts=[f"text of item {item}" for item in range(1, num_items + 1)],
        image_urls=None,
        features=dict(text_and_image(num_items=num_items) if features is None else features),
        settings={"source": "synthetic"},
    )


def sequences_of(prepared: PreparedDomain) -> list[list[int]]:
    """Item ids of each user."""
    return [part.tolist() for part in np.split(prepared.items, prepared.offsets[1:-1])]


def write_domain_folder(folder: Path, prepared: PreparedDomain | None = None) -> Path:
    """Writes a whole domain folder, tables and features, as `prepare.py` does."""
    prepared = prepared or prepared_domain()
    with replace_folder(folder) as draft:
        write_domain(draft, prepared)
        write_features(draft, prepared.features, settings=prepared.settings)
    return folder


def modality_features(features: Mapping[str, np.ndarray]) -> dict[str, ModalityFeatures]:
    """The rows that exist, as `read_features` returns them."""
    return {
        modality: ModalityFeatures(
            item_ids=np.flatnonzero(values.any(axis=1)) + 1, values=values[values.any(axis=1)]
        )
        for modality, values in features.items()
    }


def feature_table(
    features: Mapping[str, np.ndarray] | None = None,
    *,
    num_items: int | None = None,
    resident_bytes: int = 1 << 30,
) -> FeatureTable:
    """The table of one domain, by default of `text_and_image`."""
    features = text_and_image() if features is None else features
    num_items = num_items or len(next(iter(features.values())))
    return FeatureTable(
        [modality_features(features)], num_items=[num_items], resident_bytes=resident_bytes
    )


def training_counts(sequences: Sequence[Sequence[int]], *, num_items: int) -> torch.Tensor:
    """(N + 1,) int64: how often each item occurs before the last two items of a user."""
    counts = [0] * (num_items + 1)
    for sequence in sequences:
        for item in sequence[:-2]:
            counts[item] += 1
    return torch.tensor(counts)


def training_sequences(sequences: Sequence[Sequence[int]]) -> TrainSequences:
    """Every sequence but for the last two items of a user."""
    items, offsets = map(torch.from_numpy, flatten(sequences))
    return TrainSequences(items, offsets[:-1], offsets[1:] - 2)


def catalogue(
    sequences: Sequence[Sequence[int]] = SEQUENCES,
    *,
    features: Mapping[str, np.ndarray] | None = None,
    num_items: int | None = None,
    resident_bytes: int = 1 << 30,
    text_views: np.ndarray | None = None,
) -> Catalogue:
    """What a model is told of the items of one domain; without features, say how many."""
    table = feature_table(features, num_items=num_items, resident_bytes=resident_bytes)
    return Catalogue(
        num_items=table.num_items,
        train_counts=training_counts(sequences, num_items=table.num_items),
        train_sequences=training_sequences(sequences),
        features=table,
        second_views=None if text_views is None else feature_table({"text": text_views}),
    )


def sequence_batch(
    histories: Sequence[Sequence[int]], targets: Sequence[int], *, width: int | None = None
) -> SequenceBatch:
    """Right-padded histories of users 0, 1, ...; width = the longest unless given."""
    width = width or max(map(len, histories))
    padded = [[*history, *[PAD_ID] * (width - len(history))] for history in histories]
    return SequenceBatch(
        user_ids=torch.arange(len(histories)),
        item_ids=torch.tensor(padded),
        target_ids=torch.tensor(list(targets)),
    )


def released_rows(
    sequences: Sequence[Sequence[int]], *, max_history: int
) -> dict[str, list[tuple[int, list[int], int]]]:
    """Split -> (user, history, target) in the order of the released files, ids from 0."""
    rows: dict[str, list[tuple[int, list[int], int]]] = {"train": [], "valid": [], "test": []}
    for user, sequence in enumerate(sequences):
        items = [item - 1 for item in sequence]
        for end in range(len(items) - 1, 0, -1):  # the longest prefix comes first
            split = {len(items) - 1: "test", len(items) - 2: "valid"}.get(end, "train")
            rows[split].append((user, items[max(0, end - max_history) : end], items[end]))
    return rows


def write_released(folder: Path, prepared: PreparedDomain, *, max_history: int = 50) -> Path:
    """Writes a domain in the released format: text as feat1CLS, image as feat3CLS."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = prepared.name
    for split, rows in released_rows(sequences_of(prepared), max_history=max_history).items():
        lines = [f"{user}\t{' '.join(map(str, items))}\t{target}" for user, items, target in rows]
        _write_lines(folder / f"{stem}.{split}.inter", [HEADER, *lines])
    for suffix, keys in {
        "user2index": prepared.user_keys,
        "item2index": prepared.item_keys,
    }.items():
        _write_lines(folder / f"{stem}.{suffix}", [f"{key}\t{i}" for i, key in enumerate(keys)])
    texts = zip(prepared.item_keys, prepared.item_texts, strict=True)
    _write_lines(
        folder / f"{stem}.text",
        ["item_id:token\ttext:token_seq", *(f"{key}\t{text}" for key, text in texts)],
    )
    for modality, suffix in {"text": "feat1CLS", "image": "feat3CLS"}.items():
        prepared.features[modality].tofile(folder / f"{stem}.{suffix}")
    return folder


def released_source(folder: Path, **changes: Any) -> ReleasedDomain:
    """The reader of a folder of `write_released`, with some settings changed."""
    settings: dict[str, Any] = {
        "name": NAME,
        "feature_files": {"text": "feat1CLS", "image": "feat3CLS"},
        "feature_dims": {modality: [width] for modality, width in WIDTHS.items()},
        "encoders": {"text": "none", "image": "none"},
        "expected_counts": {},
        "max_history": 50,
    }
    return ReleasedDomain(folder=str(folder), **{**settings, **changes})


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def sequence_datamodule(
    folder: Path,
    *,
    max_seq_len: int = 50,
    batch_size: int = 16,
    eval_batch_size: int = 16,
    pool_batches: int = 2,
    num_workers: int = 0,
    seed: int = 1,
    prefixes: bool = True,
    repeats: int = 1,
) -> SequenceDataModule:
    """The DataModule of one domain folder, trimmed."""
    return SequenceDataModule(
        folders=[str(folder)],
        split=LeaveOneOut(),
        prefixes=prefixes,
        repeats=repeats,
        max_seq_len=max_seq_len,
        mixing_exponent=1.0,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        pool_batches=pool_batches,
        trim_padding=True,
        num_workers=num_workers,
        pin_memory=False,
        seed=seed,
    )
