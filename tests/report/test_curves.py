from __future__ import annotations

from pathlib import Path

import pytest

from missrec.report.curves import learning_curve
from run_folders import a_run, write_curve

KEY = "val/ndcg@10"


def curve(folder: Path, *, epochs: int, key: str = KEY) -> dict[int, float]:
    run = a_run(folder=folder, metrics={"epochs": epochs, "stopped_early": 1})
    return dict(learning_curve(run, key))


def test_a_curve_has_a_point_an_epoch_and_not_the_last_validation(tmp_path: Path) -> None:
    write_curve(tmp_path, [0.1, 0.3, 0.2, 0.3])  # epoch 3 is the chosen epoch, validated again
    assert curve(tmp_path, epochs=3) == {0: 0.1, 1: 0.3, 2: 0.2}
    assert curve(tmp_path, epochs=3, key="train/loss")[2] == pytest.approx(7.8)


def test_what_a_resumed_run_did_again_replaces_what_came_before(tmp_path: Path) -> None:
    write_curve(tmp_path, [0.1, 0.2, 0.3])
    write_curve(tmp_path, [0.9, 0.4], first=2, version=10)
    write_curve(tmp_path, [0.5], first=2, version=9)
    assert curve(tmp_path, epochs=4) == {0: 0.1, 1: 0.2, 2: 0.9, 3: 0.4}


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "epoch,val/ndcg@10\nx,y\n", "epoch,val/ndcg@10\n1,nan\n1"]
)
def test_a_file_that_cannot_be_read_is_no_curve(tmp_path: Path, content: str) -> None:
    write_curve(tmp_path, [])
    (tmp_path / "csv" / "version_0" / "metrics.csv").write_text(content)
    assert curve(tmp_path, epochs=5) == {}


def test_a_run_without_files_has_no_curve(tmp_path: Path) -> None:
    assert curve(tmp_path, epochs=5) == {}
