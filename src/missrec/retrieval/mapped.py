"""Tables and indexes in files that several processes map into their memory: they are there once.

Whoever asks first makes and writes them. `shared` is the beginning of the names of the files, of
one model on one catalogue alone; their folder exists.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from missrec.files import written_whole
from missrec.retrieval.faiss_index import FaissIndex, rows_of
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors


def mapped_table(shared: Path | None, name: str, make: Callable[[], ItemTable]) -> ItemTable:
    """The table in the file `<shared>_<name>.pt`.

    Args:
        shared: see above; None for a table in the memory of this process alone, as one of
            another device is too.
        name: of the table.
        make: makes it.
    """
    if shared is None:
        return make()
    path = _beside(shared, f"{name}.pt")
    with _only_one(path):
        if not path.exists():
            table = make()
            if table.items.device.type != "cpu":
                return table
            with written_whole(path) as draft:
                torch.save({"vectors": (*table.vectors,), "key_ranks": table.places}, draft)
    content = torch.load(path, mmap=True, weights_only=True)
    return ItemTable(ItemVectors(*content["vectors"]), key_ranks=content["key_ranks"])


def mapped_faiss(
    table: ItemTable, *, shared: Path | None, description: str | None = None
) -> FaissIndex:
    """The FAISS index of a table in the folder `<shared>_<signature of its rows>`.

    Args:
        table: of the items.
        shared: see above; None for an index in the memory of this process alone.
        description: of the index, in FAISS's words.

    Raises:
        ValueError: FAISS does not know the words.
    """
    if shared is None:
        return FaissIndex.build(table, description=description)
    rows = rows_of(table, description=description)
    folder = _beside(shared, rows.signature)
    with _only_one(folder):
        if not folder.exists():
            FaissIndex.build(table, description=description, rows=rows).save(folder)
    return FaissIndex.load(folder, table, rows=rows)


def _beside(shared: Path, name: str) -> Path:
    return shared.with_name(f"{shared.name}_{name}")


def _only_one(path: Path) -> FileLock:
    return FileLock(f"{path}.lock")
