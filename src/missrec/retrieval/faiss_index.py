"""The rows of a catalogue in a FAISS index, in memory or mapped from a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from missrec.data.manifest import read_manifest, write_manifest
from missrec.files import replace_folder
from missrec.retrieval.rows import CatalogueRows, means_are_near
from missrec.retrieval.table import ItemTable

_INDEX = "index.faiss"
_FACTS = ("description", "search", "means", "rows_sha256")
_EXACT = "Flat"
_SEED = 1234
_TRAINING_ROWS_PER_CELL = 40
_CELLS_PER_ROOT = 4
"""Cells, as a multiple of the root of the number of rows."""
_NUMBERS_AT_ONCE = 16
"""A width that is a multiple of it spares FAISS's quantisers the slow way."""
_PROBED_PER_ROOT = 2
"""Cells that are searched, as a multiple of the root of their number."""


class FaissIndex:
    """A FAISS index of inner products over `CatalogueRows`.

    What it is, FAISS's own words say (`faiss.index_factory`): `Flat` is exact, `IVF4096,SQ8` has
    inverted lists with a byte a number, `HNSW32,SQ8` a graph. What is learned is learned from rows
    drawn with a fixed seed: the same rows, words and number of threads give the same index.

    Attributes:
        is_exact: see `RowIndex`.
        most_rows: see `RowIndex`.
    """

    def __init__(self, index: Any, rows: CatalogueRows, *, description: str, search: str) -> None:
        """Keeps a filled index.

        Args:
            index: of FAISS, whose ids are places.
            rows: that it holds.
            description: of it, in FAISS's words.
            search: parameters of a search in FAISS's words, such as `nprobe=64`; may be empty.
        """
        import faiss

        self._index = index
        self._rows = rows
        self._facts = {"description": description, "search": search, "faiss": faiss.__version__}
        self.is_exact = description == _EXACT and rows.are_bounds
        self.most_rows = len(rows)
        if search:
            faiss.ParameterSpace().set_index_parameters(index, search)  # type: ignore[arg-type]

    @classmethod
    def build(
        cls,
        table: ItemTable,
        *,
        description: str | None = None,
        search: str = "",
        rows: CatalogueRows | None = None,
    ) -> FaissIndex:
        """Learns an index and fills it.

        Args:
            table: the catalogue.
            description: in FAISS's words; None takes what suits the number of rows.
            search: parameters of a search in FAISS's words; empty takes FAISS's own, and with None
                above what goes with it.
            rows: of the table, where they are at hand; None takes those of `rows_of`.

        Raises:
            ValueError: FAISS does not know the description.
        """
        import faiss

        rows = rows or rows_of(table, description=description)
        num_cells = max(1, min(len(rows), round(_CELLS_PER_ROOT * math.sqrt(len(rows)))))
        if description is None:
            description = f"IVF{num_cells},SQ8"
            search = search or f"nprobe={math.ceil(_PROBED_PER_ROOT * math.sqrt(num_cells))}"
        faiss.omp_set_num_threads(torch.get_num_threads())
        width = math.ceil(rows.width / _NUMBERS_AT_ONCE) * _NUMBERS_AT_ONCE
        try:
            index = faiss.index_factory(width, description, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise ValueError(f"FAISS knows no index {description!r}") from error
        lists = faiss.try_extract_index_ivf(index)
        if lists is not None:
            num_cells = lists.nlist
            lists.cp.min_points_per_centroid = 1  # few items are no mistake
        _keep_the_origin(index)
        if not index.is_trained:
            sample = _sample(rows, size=_TRAINING_ROWS_PER_CELL * num_cells)
            index.train(_padded(sample, width))
        if lists is None:  # inverted lists have ids of their own
            index = faiss.IndexIDMap(index)
        for block in rows.blocks():
            index.add_with_ids(_padded(block.vectors, width), block.places.cpu().numpy())
        return cls(index, rows, description=description, search=search)

    def save(self, folder: Path) -> None:
        """Writes the index with its checksum, whole or not at all."""
        import faiss

        with replace_folder(folder) as draft:
            faiss.write_index(self._index, str(draft / _INDEX))
            facts = {"means": self._rows.means, "rows_sha256": self._rows.signature}
            write_manifest(draft, {**self._facts, **facts})

    @classmethod
    def load(
        cls,
        folder: Path,
        table: ItemTable,
        *,
        search: str | None = None,
        rows: CatalogueRows | None = None,
    ) -> FaissIndex:
        """Maps an index into memory; what a search does not touch stays on disk.

        Args:
            folder: that `save` wrote.
            table: the catalogue.
            search: parameters of a search in FAISS's words; None takes those that it had.
            rows: of the table, where they are at hand: their signature is taken once.

        Raises:
            FolderError: a file is missing or changed.
            ValueError: the index is one of other items.
        """
        import faiss

        facts = read_manifest(folder, facts=_FACTS, files=[_INDEX])
        if rows is None or rows.means != facts["means"]:
            rows = CatalogueRows(table, means=bool(facts["means"]))
        if facts["rows_sha256"] != rows.signature:
            raise ValueError(f"the index in {folder} was built of other items; build it again")
        index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP)
        search = facts["search"] if search is None else search
        return cls(index, rows, description=facts["description"], search=search)

    def nearest(self, encoded: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        """See `RowIndex`."""
        import faiss

        faiss.omp_set_num_threads(torch.get_num_threads())
        queries = _padded(self._rows.queries(encoded), self._index.d)
        products, places = self._index.search(queries, min(count, self.most_rows))
        return (
            torch.from_numpy(products).to(encoded.device),
            torch.from_numpy(places).to(encoded.device),
        )


def rows_of(table: ItemTable, *, description: str | None) -> CatalogueRows:
    """The rows that suit an index: bounds for `Flat`, otherwise what is nearer to the scores."""
    return CatalogueRows(table, means=description != _EXACT and means_are_near(table))


def _keep_the_origin(index: Any) -> None:
    """Makes PCA a rotation: moved by their mean, rows have inner products of another order."""
    import faiss

    if not isinstance(index, faiss.IndexPreTransform):
        return
    chain: Any = index.chain  # a vector of C++, which its types call a list
    for number in range(chain.size()):
        transform = faiss.downcast_VectorTransform(chain.at(number))
        if isinstance(transform, faiss.LinearTransform):
            transform.have_bias = False


def _padded(vectors: Tensor, width: int) -> np.ndarray:
    """(R, width) with zeros behind the columns of vectors (R, D)."""
    padded: np.ndarray = F.pad(vectors, (0, width - vectors.shape[1])).cpu().numpy()
    return padded


def _sample(rows: CatalogueRows, *, size: int) -> Tensor:
    """(size, D) rows, or all of them, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randperm(len(rows), generator=generator)[:size].sort().values
    parts, first = [], 0
    for block in rows.blocks():
        last = first + len(block.places)
        inside = drawn[(drawn >= first) & (drawn < last)] - first
        parts.append(block.vectors[inside.to(block.vectors.device)].cpu())
        first = last
    return torch.cat(parts)
