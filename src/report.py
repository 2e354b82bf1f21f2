"""Collect runs into the paper's tables and figures: `python src/report.py`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Writes `cfg.output_dir`: one page, Markdown, LaTeX, CSV, and figures for print."""
    from missrec.app.report import report  # heavy: only once the config is composed

    report(cfg)


if __name__ == "__main__":
    run_door("report", run)
