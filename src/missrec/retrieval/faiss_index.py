"""The rows of a catalogue in a FAISS index, in memory or mapped from a folder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from missrec.data.manifest import read_manifest, write_manifest
from missrec.files import replace_folder
from missrec.retrieval.table import BoundRows, ItemTable

_INDEX = "index.faiss"
_SEED = 1234
_TRAINING_ROWS_PER_CELL = 40
_CELLS_PER_ROOT = 4
"""Cells, as a multiple of the root of the number of rows."""
_PROBED_SHARE = 64
"""One of so many cells is searched."""


class FaissIndex:
    """A FAISS index of inner products over `ItemTable.rows`.

    What it is, FAISS's own words say (`faiss.index_factory`): `Flat` is exact, `IVF4096,SQ8` has
    inverted lists with a byte a number, `HNSW32,SQ8` a graph. What is learned is learned from rows
    drawn with a fixed seed: the same table, words and number of threads give the same index.
    """

    def __init__(self, index: Any, *, description: str, search: str, signature: str) -> None:
        """Keeps a filled index.

        Args:
            index: of FAISS, whose ids are places.
            description: in FAISS's words.
            search: parameters of a search in FAISS's words, such as `nprobe=64`; may be empty.
            signature: of the table that it was filled from.
        """
        import faiss

        self._index = index
        self._description = description
        self._search = search
        self._signature = signature
        self.is_exact = description == "Flat"
        self.most_rows: int = index.ntotal
        if search:
            faiss.ParameterSpace().set_index_parameters(index, search)  # type: ignore[arg-type]

    @classmethod
    def build(
        cls, table: ItemTable, *, description: str | None = None, search: str | None = None
    ) -> FaissIndex:
        """Learns an index and fills it.

        Args:
            table: the catalogue.
            description: in FAISS's words; None takes what suits the number of rows.
            search: parameters of a search in FAISS's words; None takes what goes with None above.

        Raises:
            ValueError: FAISS does not know the words.
        """
        import faiss

        num_rows = table.num_rows
        num_cells = max(1, min(num_rows, round(_CELLS_PER_ROOT * math.sqrt(num_rows))))
        if description is None:
            description = f"IVF{num_cells},SQ8"
            search = search or f"nprobe={max(1, num_cells // _PROBED_SHARE)}"
        faiss.omp_set_num_threads(torch.get_num_threads())
        try:
            index = faiss.index_factory(table.row_width, description, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise ValueError(f"FAISS knows no index {description!r}") from error
        lists = faiss.try_extract_index_ivf(index)
        if lists is not None:
            lists.cp.min_points_per_centroid = 1  # few items are no mistake
        if not index.is_trained:
            index.train(_sample(table.rows(), num_rows, size=_TRAINING_ROWS_PER_CELL * num_cells))
        if lists is None:  # inverted lists have ids of their own
            index = faiss.IndexIDMap(index)
        for rows in table.rows():
            index.add_with_ids(rows.vectors.cpu().numpy(), rows.places.cpu().numpy())
        return cls(index, description=description, search=search or "", signature=table.signature())

    def save(self, folder: Path) -> None:
        """Writes the index with its checksum, whole or not at all."""
        import faiss

        with replace_folder(folder) as draft:
            faiss.write_index(self._index, str(draft / _INDEX))
            write_manifest(draft, self._facts())

    @classmethod
    def load(cls, folder: Path, table: ItemTable, *, search: str | None = None) -> FaissIndex:
        """Maps an index into memory; what a search does not touch stays on disk.

        Args:
            folder: that `save` wrote.
            table: the catalogue.
            search: parameters of a search in FAISS's words; None takes those that it had.

        Raises:
            FolderError: a file is missing or changed.
            ValueError: the index is one of other vectors.
        """
        import faiss

        facts = read_manifest(folder, facts=("description", "search", "table"), files=[_INDEX])
        if facts["table"] != table.signature():
            raise ValueError(f"the index in {folder} was built of other vectors; build it again")
        index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP)
        return cls(
            index,
            description=facts["description"],
            search=facts["search"] if search is None else search,
            signature=facts["table"],
        )

    def nearest(self, queries: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        """See `RowIndex`."""
        import faiss

        faiss.omp_set_num_threads(torch.get_num_threads())
        products, places = self._index.search(queries.cpu().numpy(), min(count, self.most_rows))
        return (
            torch.from_numpy(products).to(queries.device),
            torch.from_numpy(places).to(queries.device),
        )

    def _facts(self) -> dict[str, Any]:
        import faiss

        return {
            "description": self._description,
            "search": self._search,
            "table": self._signature,
            "faiss": faiss.__version__,
        }


def _sample(rows: Iterable[BoundRows], num_rows: int, *, size: int) -> np.ndarray:
    """(size, D) rows, or all of them, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randperm(num_rows, generator=generator)[:size].sort().values
    parts, first = [], 0
    for block in rows:
        inside = drawn[(drawn >= first) & (drawn < first + len(block.places))]
        parts.append(block.vectors[(inside - first).to(block.vectors.device)].cpu())
        first += len(block.places)
    return torch.cat(parts).numpy()
