"""Tables of items in files that several processes map into their memory: it is there once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from missrec.files import written_whole
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors

_ON_CPU = torch.device("cpu")

Keep = Callable[[str, Callable[[], ItemTable]], ItemTable]
"""Gives the table of a name, which is made by the call if it is not kept yet."""


def keep_nothing(_: str, make: Callable[[], ItemTable]) -> ItemTable:
    """A table in the memory of this process alone."""
    return make()


def map_table(prefix: Path, name: str, make: Callable[[], ItemTable]) -> ItemTable:
    """The table in the file `<prefix>_<name>.pt`; whoever asks first makes and writes it.

    Args:
        prefix: of the file, of one model on one catalogue alone; its folder exists.
        name: of the table.
        make: makes it, on the CPU.
    """
    path = prefix.with_name(f"{prefix.name}_{name}.pt")
    with FileLock(f"{path}.lock"):
        if not path.exists():
            table = make()
            if table.items.device != _ON_CPU:
                return table
            with written_whole(path) as draft:
                content = {"vectors": tuple(table.vectors), "key_ranks": table.places}
                torch.save(content, draft)
            del table
    content = torch.load(path, mmap=True, weights_only=True)
    return ItemTable(ItemVectors(*content["vectors"]), key_ranks=content["key_ranks"])
