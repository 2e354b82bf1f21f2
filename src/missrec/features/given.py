"""Features that were made elsewhere, as a modality of a domain."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from missrec.data.domain import read_items
from missrec.data.sources.keys import known_spelling
from missrec.features.inputs import OK
from missrec.features.store import ELSEWHERE, FILE, ModalityFeatures, replace_modality
from missrec.features.vectors import Vectors, read_vectors
from missrec.files import sha256

NO_VECTOR = "no_vector"
_SHOWN = 2
_log = logging.getLogger(__name__)


class GivenFeatures:
    """Files of vectors, each of one modality.

    Attributes:
        files: modality -> file.
    """

    def __init__(
        self,
        *,
        files: Mapping[str, str] | None,
        keys: Mapping[str, str] | str | None,
        key_column: str | None,
        vector_column: str | None,
    ) -> None:
        """Keeps the settings.

        Args:
            files: modality -> file, see `read_vectors`; None for no features.
            keys: modality -> file of the keys of its rows; or one for all of them.
            key_column: see `read_vectors`.
            vector_column: see `read_vectors`.

        Raises:
            ValueError: files is no mapping of modalities, or one has no name for a file.
        """
        if files is not None and not (isinstance(files, Mapping) and all(files.values())):
            raise ValueError(
                f"features.files ({files}) must say modality: file, as in {{text: vectors.npy}}"
            )
        for modality in files or ():
            if not re.fullmatch(r"[A-Za-z]\w*", str(modality), re.ASCII):
                raise ValueError(
                    f"features.files: modality {modality!r} must be a word of letters, digits and _"
                )
        self.files = dict(files or {})
        self._keys = keys
        self._columns = {"key_column": key_column, "vector_column": vector_column}

    def read(self) -> dict[str, Vectors]:
        """Modality -> its vectors.

        Raises:
            FileNotFoundError, ValueError: see `read_vectors`.
        """
        found = {}
        for modality, path in self.files.items():
            keys = self._keys.get(modality) if isinstance(self._keys, Mapping) else self._keys
            place = None if keys is None else Path(keys)
            found[modality] = read_vectors(Path(path), keys=place, **self._columns)
        return found


def put_features(
    domain_folder: Path, modality: str, vectors: Vectors, *, name: str
) -> dict[str, int]:
    """Makes vectors the features of a modality; other modalities stay as they are.

    A vector of zeros is none. Vectors of unknown items are left out with a warning.

    Args:
        domain_folder: folder with the domain's tables.
        modality: any name.
        vectors: of items by their keys.
        name: of the domain.

    Returns:
        Items by outcome: `ok`, and `no_vector` of those that have none.

    Raises:
        ValueError: no key is of an item of the domain, or two are of the same.
    """
    known = read_items(domain_folder)["item_key"]
    rows = _rows_of_items(vectors, known, name=name)
    is_zero = ~np.any(vectors.values, axis=1)
    rows[is_zero[rows]] = -1  # of -1, which is none already, any row will do
    present = np.flatnonzero(rows >= 0)
    features = ModalityFeatures(present + 1, np.asarray(vectors.values[rows[present]]))
    described = {
        "name": vectors.path.name,
        "sha256": sha256(vectors.path),
        "width": features.values.shape[1],
        "dtype": vectors.dtype,
    }
    settings = {"source": ELSEWHERE, FILE: described}
    replace_modality(domain_folder, modality, features, inputs=None, settings=settings)
    lacking = known.filter(pl.Series(rows < 0))
    if len(lacking):
        share = 100 * len(lacking) / len(known)
        shown = _examples(lacking)
        _log.info("%s: %.1f %% of the items have no %s vector: %s", name, share, modality, shown)
    return {OK: len(present), NO_VECTOR: len(lacking)}


def _rows_of_items(vectors: Vectors, known: pl.Series, *, name: str) -> np.ndarray:
    """(N,) int64, the row of each item's vector; -1 = has none."""
    keys = known_spelling(vectors.keys, known)
    if len(twice := vectors.keys.filter(keys.is_duplicated())):
        raise ValueError(f"{vectors.path}: {_examples(twice)} are of one item")
    items = pl.DataFrame({"key": known})
    found = items.join(
        pl.DataFrame({"key": keys}).with_row_index("row"),
        on="key",
        how="left",
        maintain_order="left",
    )
    unknown = keys.filter(~keys.is_in(known.implode()))
    if len(unknown) == len(keys):
        raise ValueError(
            f"{vectors.path}: none of its {len(keys)} keys, such as {_examples(unknown)}, is of an "
            f"item of {name}, such as {_examples(known)}"
        )
    if len(unknown):
        _log.warning(
            "%s: %s of %s keys are of no item of %s, such as %s; items are such as %s",
            vectors.path,
            f"{len(unknown):,}",
            f"{len(keys):,}",
            name,
            _examples(unknown),
            _examples(known),
        )
    return found["row"].cast(pl.Int64).fill_null(-1).to_numpy().copy()


def _examples(keys: pl.Series) -> str:
    return ", ".join(map(repr, keys.head(_SHOWN)))
