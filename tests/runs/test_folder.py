"""Of a run folder: what has a checksum, and a run of before that gets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from missrec.runs.folder import RunFolder

OLD = Path(__file__).resolve().parents[1] / "kept_runs/format_0/logs/demo/sasrec_s1"


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    shutil.copytree(OLD, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_run_of_before_has_its_provenance_without_a_checksum(old: RunFolder) -> None:
    assert old.read_provenance() == json.loads(old.provenance.read_text())


def test_its_provenance_gets_the_checksum_before_its_config_gets_a_version(old: RunFolder) -> None:
    before = old.read_provenance()
    old.write_config(old.read_config())
    assert "sha256" in json.loads(old.provenance.read_text())
    assert old.read_provenance() == before


def test_another_run_s_provenance_of_before_is_none_of_a_run_of_today(old: RunFolder) -> None:
    unsigned = old.provenance.read_bytes()
    old.write_config(old.read_config())
    for other in (unsigned, b"{}", b'{"ndcg@10": 0.5}'):
        old.provenance.write_bytes(other)
        with pytest.raises(ValueError, match="was changed since the run wrote it"):
            old.read_provenance()


def test_a_config_is_read_without_its_first_line_but_not_with_a_damaged_one(old: RunFolder) -> None:
    old.write_config(old.read_config())
    first, rest = old.config.read_text().split("\n", 1)
    expected = old.read_config()
    old.config.write_text(rest.replace("seed: 1", "seed: 2", 1))
    assert old.read_config() == {**expected, "seed": 2}
    for line in (first.replace("sha256", "sha2t6"), first[1:], "", "\0" * len(first)):
        old.config.write_text(f"{line}\n{rest}".replace("seed: 1", "seed: 2", 1))
        with pytest.raises(ValueError, match=r"delete its first line|cannot be read"):
            old.read_config()
