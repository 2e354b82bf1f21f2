"""The doors, called in this process, which has what is heavy at hand already."""

from __future__ import annotations

import logging
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    stdout: str
    stderr: str


def call(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    *arguments: str,
) -> Ended:
    """`call(monkeypatch, capsys, "train", "model=sasrec")`; what it leaves in logging is undone."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the doors set it if nobody has
    script = str(ROOT / "src" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    code: object = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    finally:
        for handler in set(root.handlers) - set(handlers):  # Hydra's
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    return Ended(code, *capsys.readouterr())
