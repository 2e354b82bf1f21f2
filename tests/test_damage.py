"""A part of bench/faults.py: damaged files of a run and a domain are noticed, or read as before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from damage import cases, tally
from mutation import KINDS


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_as_they_were_or_refused_in_a_line(tmp_path: Path) -> None:
    found, draw = cases(tmp_path), random.Random(1)
    assert len(found) > 20
    for case in found:
        others = [one.file.read_bytes() for one in found if one.file.name != case.file.name]
        counts = tally(case, number=len(KINDS), draw=draw, others=others)
        assert counts.total() == len(KINDS)
        unnoticed = 0 if case.has_checksum else counts["unnoticed"]
        assert counts["same"] + counts["refused"] + unnoticed == len(KINDS), (case.name, counts)
