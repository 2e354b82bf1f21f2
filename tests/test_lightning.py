"""What Lightning 2.6 does at a resume that one would not guess, and that nothing of ours rests on.

`current_epoch` is 0 in `on_train_start` after a checkpoint from the end of an epoch; a CSVLogger
empties the file of a version that is there. The third, that a checkpoint inside an epoch starts the
loader anew unless the loader has a state, is in tests/training/test_resume.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "missrec"
EARLY = {"on_train_start", "on_fit_start", "on_sanity_check_start", "setup", "on_load_checkpoint"}
"""Before the first epoch; the trainer knows which one that is only after them."""


def early_epochs(source: str) -> list[int]:
    """Lines that read the epoch before it is known."""
    if "current_epoch" not in source:
        return []
    return [
        node.lineno
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef) and function.name in EARLY
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "current_epoch"
    ]


@pytest.mark.parametrize(
    ("hook", "lines"), [("on_train_start", [2]), ("on_train_epoch_start", []), ("setup", [2])]
)
def test_an_epoch_that_is_read_too_early_is_seen(hook: str, lines: list[int]) -> None:
    assert early_epochs(f"def {hook}(self, trainer):\n    return trainer.current_epoch") == lines


def test_nothing_reads_the_epoch_before_it_is_known() -> None:
    found = {str(p.relative_to(SRC)): early_epochs(p.read_text()) for p in SRC.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def csv_rows(run_dir: Path, **settings: int) -> dict[str, bytes]:
    """The CSV files of a run after it has logged to what conf/logger/csv.yaml says."""
    config = OmegaConf.create({**OmegaConf.load(ROOT / "conf" / "logger" / "csv.yaml")})
    config["run_dir"] = str(run_dir)
    logger = instantiate(config.csv, **settings)
    assert isinstance(logger, CSVLogger)
    logger.log_metrics({"val/ndcg@10": 0.5}, step=1)
    logger.save()
    return {path.parent.name: path.read_bytes() for path in run_dir.rglob("metrics.csv")}


def test_a_run_that_is_resumed_keeps_the_rows_of_before(tmp_path: Path) -> None:
    first = csv_rows(tmp_path)
    again = csv_rows(tmp_path)
    assert list(first) == ["version_0"]
    assert set(again) == {"version_0", "version_1"}
    assert again["version_0"] == first["version_0"] != b""


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_a_version_that_is_there_would_lose_them(tmp_path: Path) -> None:
    (tmp_path / "csv/version_0").mkdir(parents=True)
    (tmp_path / "csv/version_0/metrics.csv").write_text("epoch,val/ndcg@10\n0,0.4\n")
    assert b"0.4" not in csv_rows(tmp_path, version=0)["version_0"]
