"""Who writes into a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from missrec.distributed import is_first_process
from missrec.files import remove_drafts
from missrec.runs.locks import only_writer


@contextmanager
def writing(run_dir: Path, *, waits: bool = False) -> Iterator[None]:
    """`only_writer` of the first process, without what killed ones had left there.

    The other processes, which write nothing, are let in.
    """
    if not is_first_process():
        yield
        return
    with only_writer(run_dir, waits=waits):
        remove_drafts(run_dir)
        yield
