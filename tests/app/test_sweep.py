from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from missrec.app.sweep import SweepTable


def end_of_sweep(folder: Path) -> None:
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    SweepTable(keys=["test/recall@10", "test/ndcg@10"]).on_multirun_end(config)


def test_jobs_come_by_number_and_what_they_share_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("10_c", "2_b", "shared", "0_a"):
        (tmp_path / name).mkdir()
        metrics = {"test/recall@10": 0.25}
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "1_unfinished").mkdir()
    end_of_sweep(tmp_path)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "0.2500" in line]
    assert [row[1].strip() for row in rows] == ["0_a", "2_b", "10_c", "shared"]
    assert [row[3].strip() for row in rows] == ["-"] * 4


def test_a_sweep_without_a_finished_job_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end_of_sweep(tmp_path)
    assert capsys.readouterr().out == ""
