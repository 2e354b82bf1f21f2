"""Who writes into a run folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from missrec.distributed import is_first_process
from missrec.runs.locks import only_writer


def writing(run_dir: Path, *, waits: bool = False) -> AbstractContextManager[None]:
    """`only_writer` of the first process; the others, which write nothing, are let in."""
    return only_writer(run_dir, waits=waits) if is_first_process() else nullcontext()
