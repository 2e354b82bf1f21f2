"""What every command shares: the exit code and the one line of a user's mistake."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError

from missrec.app.choices import check_choices
from missrec.app.grammar import ambiguous, options_first, parsable_arguments
from missrec.app.help import help_text
from missrec.app.invocation import as_started
from missrec.app.names import check_typed_names, unwrapped
from missrec.app.project import conf_dir
from missrec.app.remedies import remedy_of

USER_ERROR = 2
_UNNAMED = re.compile(r"Missing mandatory value: ([\w.]+)")  # OmegaConf's words for ???
_OF_THE_MACHINE = re.compile(
    r"allocate memory|out of memory|shared memory|torch_\d+_\d+|"
    r"DataLoader worker .* (?:killed|exited)|connection (?:closed|reset) by peer",
    re.IGNORECASE,
)
"""In torch's words: memory of a CPU, of a GPU, and /dev/shm, where workers of a loader put batches;
a process of the run that is gone."""
_USER_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError)


def run_door(
    config_name: str,
    run: Callable[[Any], object],
    *,
    rewrite: Callable[[list[str]], list[str]] = list,
) -> None:
    """Composes `conf/<config_name>.yaml` with the command line and runs.

    A mistake in the config or the data ends with one line on stderr and exit code 2; anything
    else is a defect of ours and keeps its traceback. `debug=true` shows it for both.

    Args:
        config_name: name of the primary config.
        run: called with the composed config; imports what is heavy only then, so that `--help`
            and config mistakes answer at once.
        rewrite: turns the arguments of the command line, options first, into those that Hydra
            shall see.
    """
    # Hydra then raises instead of printing its own report and exiting with 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")

    def job(cfg: Any) -> None:
        with _one_line_errors(debug=bool(cfg.debug)):
            run(cfg)

    conf = str(conf_dir())
    main = hydra.main(version_base="1.3", config_path=conf, config_name=config_name)(job)
    with _one_line_errors(debug="debug=true" in sys.argv):
        sys.argv[1:] = parsable_arguments(rewrite(options_first(sys.argv[1:])))
        check_typed_names(sys.argv[1:])
        check_choices(config_name, sys.argv[1:])
        if (text := help_text(config_name, sys.argv[1:])) is None:
            main()
        else:
            print(as_started(text))  # noqa: T201


@contextmanager
def _one_line_errors(*, debug: bool) -> Iterator[None]:
    """Turns a user's mistake into one line and exit code 2, unless `debug`."""
    try:
        yield
    except (*_USER_ERRORS, MemoryError, RuntimeError) as error:
        if debug or not (isinstance(error, _USER_ERRORS) or _is_of_the_machine(error)):
            raise
        sys.stderr.write(f"error: {one_line(error) or type(error).__name__}\n")
        _let_go(error)
        sys.exit(USER_ERROR if isinstance(error, _USER_ERRORS) else 1)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether it is for want of memory, or a process was killed, as joblib and torch say it."""
    known = isinstance(error, (BrokenExecutor, MemoryError))
    return known or _OF_THE_MACHINE.search(str(error)) is not None


def _let_go(error: BaseException) -> None:
    """Frees what an error holds; what is half made may fail again, and that is no news."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        cause: BaseException | None = error
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__context__
    finally:
        sys.unraisablehook = hook


def one_line(error: BaseException) -> str:
    """The message of an error in one line, led by the config key, ended by the remedy if known."""
    return as_started(_one_line(error))


def _one_line(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        # Hydra wraps what a constructor raised; the last line names the key of the config.
        key = str(error).rpartition("full_key: ")[2].strip()
        return f"{key}: {_one_line(error.__cause__)}"
    if unnamed := _UNNAMED.search(str(error)):
        return f"{unnamed[1]} has no value; add {unnamed[1]}=<value>"
    if several := ambiguous(str(error)):
        return several
    if isinstance(error, InterpolationResolutionError):
        return " ".join(unwrapped(error).split())
    remedy = remedy_of(error)
    return " ".join(f"{error}; {remedy}".split() if remedy else str(error).split())
