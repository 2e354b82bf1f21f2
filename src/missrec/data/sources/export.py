"""Writer of the file format that UniSRec, VQ-Rec and MISSRec were released with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from missrec.data.domain import PreparedDomain
from missrec.data.sources.released import HEADER, TEXT_HEADER

MAX_HISTORY = 50
"""Items that a history of the released files has at most."""

FEATURE_FILES = {"text": "feat1CLS", "text_view": "feat2CLS", "image": "feat3CLS"}


def export_domain(folder: Path, prepared: PreparedDomain) -> None:
    """Writes a domain into an existing folder as `ReleasedDomain` reads it.

    Every prefix of a user is a row, the longest first; times and addresses of images have no
    place in the format. The features are float32, an all-zero row = not there.

    Raises:
        ValueError: a key or a text holds a tab or a line break, or a modality has no place.
    """
    unknown = set(prepared.features) - set(FEATURE_FILES)
    if unknown:
        raise ValueError(
            f"{prepared.name} has features of {', '.join(sorted(unknown))}, the released format "
            f"only has {', '.join(FEATURE_FILES)}"
        )
    for name, values, refused in (
        ("user", prepared.user_keys, "\t\n"),
        ("item", prepared.item_keys, "\t\n"),
        ("text", prepared.item_texts, "\n"),
    ):
        bad = next((value for value in values if any(char in value for char in refused)), None)
        if bad is not None:
            raise ValueError(
                f"{prepared.name}: {name} {bad[:80]!r} holds a tab or a line break, which the "
                "released format cannot hold"
            )
    stem = folder / prepared.name
    for split, (shortest, longest) in {
        "train": (1, -2),
        "valid": (-2, -1),
        "test": (-1, 0),
    }.items():
        rows = _rows(prepared, shortest, longest)
        _write_lines(Path(f"{stem}.{split}.inter"), [HEADER], rows)
    for suffix, keys in {
        "user2index": prepared.user_keys,
        "item2index": prepared.item_keys,
    }.items():
        _write_lines(Path(f"{stem}.{suffix}"), [], (f"{key}\t{i}" for i, key in enumerate(keys)))
    texts = zip(prepared.item_keys, prepared.item_texts, strict=True)
    _write_lines(Path(f"{stem}.text"), [TEXT_HEADER], (f"{key}\t{text}" for key, text in texts))
    for modality, features in prepared.features.items():
        features.astype(np.float32, copy=False).tofile(f"{stem}.{FEATURE_FILES[modality]}")


def _rows(prepared: PreparedDomain, shortest: int, longest: int) -> Iterator[str]:
    """The rows of all users whose targets lie at these places, counted from the end if below 1.

    Args:
        prepared: the domain; ids in the files count from 0.
        shortest: place of the first target.
        longest: place after the last target.
    """
    for user, (start, end) in enumerate(pairwise(prepared.offsets.tolist())):
        items = [str(item - 1) for item in prepared.items[start:end].tolist()]
        first = shortest if shortest > 0 else len(items) + shortest
        for place in range(len(items) + longest - 1, first - 1, -1):
            history = " ".join(items[max(0, place - MAX_HISTORY) : place])
            yield f"{user}\t{history}\t{items[place]}"


def _write_lines(path: Path, header: list[str], lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in header)
        stream.writelines(f"{line}\n" for line in lines)
