"""The doors, called in this process, which has what is heavy at hand already."""

from __future__ import annotations

import io
import logging
import runpy
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from missrec.app.command_line.invocation import CONSOLE
from missrec.app.console import main

ROOT = Path(__file__).resolve().parents[1]


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    stdout: str
    stderr: str


def call(name: str, *arguments: str, **environment: str) -> Ended:
    """`call("train", "seed=1", WANDB_MODE="offline")`; logging is as before when it ends."""
    script = str(ROOT / "src" / f"{name}.py")
    return _ended(
        script, arguments, lambda: runpy.run_path(script, run_name="__main__"), environment
    )


def call_console(*arguments: str, project: Path) -> Ended:
    """`call_console("train", "seed=1", project=tmp_path)`: as `missrec train seed=1` there."""
    environment = {CONSOLE: "1", "PROJECT_ROOT": str(project)}
    return _ended("missrec", arguments, main, environment)


def _ended(
    program: str, arguments: Sequence[str], run: Callable[[], object], environment: dict[str, str]
) -> Ended:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    code: object = 0
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", [program, *arguments])
        patch.setenv("HYDRA_FULL_ERROR", "1")  # the doors set it if nobody has
        for key, value in environment.items():
            patch.setenv(key, value)
        try:
            run()
        except SystemExit as ended:
            code = ended.code
        finally:
            for handler in set(root.handlers) - set(handlers):  # Hydra's
                handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
    return Ended(code, stdout.getvalue(), stderr.getvalue())
