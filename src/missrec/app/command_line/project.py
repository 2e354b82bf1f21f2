"""Where the project of a command is: data/ and logs/ in its folder, conf/ there or with the code.

A checkout is its own project, which the doors in `src/` say by `PROJECT_ROOT`. For the installed
command it is the current folder, and conf/ came with the package.
"""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parents[2]
_OURS = "known_domains.yaml"
"""Tells a project's own copy of conf/ from what another program keeps under that name."""


def project_dir() -> Path:
    """The folder of the project: `$PROJECT_ROOT`, else the current one."""
    return Path(os.environ.get("PROJECT_ROOT", ".")).absolute()


def conf_dir(project: Path | None = None) -> Path:
    """The configs of a project: its own conf/, or where it has none those of this code.

    Args:
        project: its folder; None for that of the command.
    """
    own = (project_dir() if project is None else project) / "conf"
    return own if (own / _OURS).is_file() else _shipped()


def checkout() -> Path | None:
    """Where this code lies beside its conf/ and its doors; None of an installed package."""
    return None if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]


def _shipped() -> Path:
    return (checkout() or _PACKAGE) / "conf"


OmegaConf.register_new_resolver(
    "conf_dir", lambda project: str(conf_dir(Path(project))), replace=True
)
