"""A part of bench/readers.py: of damaged source files no row is lost, and no reader stops."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from damaged_sources import readers, tally
from mutation import KINDS


@pytest.mark.filterwarnings("ignore")
def test_rows_of_damaged_files_are_taken_or_rejected_or_the_file_is_refused_in_a_line(
    tmp_path: Path,
) -> None:
    found, draw = readers(tmp_path), random.Random(1)
    assert len(found) > 30
    for reader in found:
        others = [one.file.read_bytes() for one in found if one.name != reader.name]
        counts = tally(reader, number=len(KINDS) + 4, draw=draw, others=others)
        assert set(counts.outcomes) <= {"read", "refused"}, (reader.name, counts)
        assert counts.accepted + counts.rejected == counts.rows
