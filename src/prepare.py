"""Make domain folders from a source: `python src/prepare.py data=scientific_mm_subset`."""

import os
from pathlib import Path

from omegaconf import DictConfig

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.door import run_door


def run(cfg: DictConfig) -> None:
    """Makes the folders of `cfg.data`; or says what one is, or writes it as released files."""
    # heavy: only once the config is composed
    from missrec.app.folders import export, verify
    from missrec.app.prepare import prepare

    if cfg.export is not None:
        export(Path(cfg.export), to=cfg.to)
    elif cfg.verify is not None:
        verify(Path(cfg.verify), root_dir=Path(cfg.paths.root_dir))
    else:
        prepare(cfg)


if __name__ == "__main__":
    run_door("prepare", run)
