"""What every command shares: the exit code and the one line of a user's mistake."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError

from missrec.app.command_line.choices import check_choices, choices
from missrec.app.command_line.grammar import (
    ambiguous,
    is_multirun,
    options_first,
    parsable_arguments,
)
from missrec.app.command_line.help import help_text
from missrec.app.command_line.invocation import as_started
from missrec.app.command_line.keys import check_added, check_swept, unknown_key
from missrec.app.command_line.leftovers import AT_END, remove_unused
from missrec.app.command_line.names import check_typed_names, unwrapped
from missrec.app.command_line.project import conf_dir
from missrec.app.command_line.remedies import lacking_package, of_the_system, remedy_of
from missrec.app.command_line.typing_mistakes import check_arguments
from missrec.app.command_line.values import check_values, comments

USER_ERROR = 2
INTERRUPTED, TERMINATED = 130, 143
"""As a shell has it of what Ctrl-C, or SIGTERM, broke off."""
_UNNAMED = re.compile(r"Missing mandatory value: ([\w.]+)")  # OmegaConf's words for ???
_SEARCHED = re.compile(
    r"^In '[^']*': |\s*(Check that it's in your config s|Config s)earch path.*", re.S
)
"""Hydra's words around a choice that there is not: where it stands, and where it looked."""
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
    sweeps: bool = False,
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
        sweeps: whether the command knows what to do with `-m`.
    """
    # Hydra then raises instead of printing its own report and exiting with 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")

    def job(cfg: Any) -> None:
        with _one_line_errors(debug=bool(cfg.debug)), _nothing_left(cfg):
            _check_named(cfg)
            run(cfg)

    conf = str(conf_dir())
    main = hydra.main(version_base="1.3", config_path=conf, config_name=config_name)(job)
    with _one_line_errors(debug="debug=true" in sys.argv):
        sys.argv[1:] = parsable_arguments(rewrite(options_first(sys.argv[1:])))
        check_arguments(sys.argv[1:])
        if not sweeps and is_multirun(sys.argv[1:]):
            raise ValueError(
                "-m and sweep= are of train and tune; type the command once for each value of yours"
            )
        check_typed_names(sys.argv[1:])
        check_choices(config_name, sys.argv[1:])
        check_values(sys.argv[1:], choices(config_name))
        with _known_keys(config_name, sys.argv[1:]):
            check_added(config_name, sys.argv[1:])
            check_swept(config_name, sys.argv[1:])
            if (text := help_text(config_name, sys.argv[1:])) is None:
                with AT_END:
                    main()
            else:
                print(as_started(text))  # noqa: T201


@contextmanager
def _known_keys(command: str, arguments: Sequence[str]) -> Iterator[None]:
    """Says which key may be meant, where Hydra would have an unknown one added with +."""
    try:
        yield
    except ConfigCompositionException as error:
        if said := unknown_key(str(error), command, arguments):
            raise ConfigCompositionException(said) from error
        raise


@contextmanager
def _nothing_left(cfg: DictConfig) -> Iterator[None]:
    """Leaves no folder of a command that ends before it has written anything."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        hydra = HydraConfig.get()
        if not _is_multirun():
            folder, log_dir = Path(hydra.runtime.output_dir), Path(cfg.paths.log_dir).absolute()
            remove_unused(folder, log_dir=log_dir, job=hydra.job.name)
        raise


def _check_named(cfg: DictConfig) -> None:
    """Refuses a config with a setting that the user has to name, before anything is imported."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        section, _, name = missing[0].rpartition(".")
        hydra, group = HydraConfig.get(), section.replace(".", "/")
        file = f"{group}/{hydra.runtime.choices.get(group)}" if section else hydra.job.name
        path = conf_dir() / f"{file}.yaml"
        meaning = comments(path).get(name) if path.is_file() else None
        what = f": {meaning}" if meaning else ""
        raise ValueError(f"{missing[0]} has no value; add {missing[0]}=<value>{what}")


@contextmanager
def _one_line_errors(*, debug: bool) -> Iterator[None]:
    """Turns a user's mistake into one line and exit code 2, unless `debug`."""
    try:
        yield
    except KeyboardInterrupt:
        if debug or _is_multirun():
            raise
        sys.stderr.write("interrupted; the same command starts again\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug or not (is_mistake(error) or _is_of_the_machine(error)):
            raise
        sys.stderr.write(f"error: {one_line(error) or type(error).__name__}\n")
        _let_go(error)
        sys.exit(USER_ERROR if is_mistake(error) else 1)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether it is for want of memory, or a process was killed, as joblib and torch say it."""
    known = isinstance(error, (BrokenExecutor, MemoryError))
    is_torch = isinstance(error, RuntimeError)
    return known or (is_torch and _OF_THE_MACHINE.search(str(error)) is not None)


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


def _is_multirun() -> bool:
    """Whether others of a sweep tell of what ended."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def is_mistake(error: Exception) -> bool:
    """Whether it is a user's: in the config, the data, or what is asked of the machine."""
    # Lightning says by it that a device is not there, and takes seconds to import.
    is_of_lightning = type(error).__name__ == "MisconfigurationException"
    is_known = is_of_lightning or isinstance(error, _USER_ERRORS)
    return is_known or lacking_package(error) is not None


def one_line(error: BaseException) -> str:
    """The message of an error in one line, led by the config key, ended by the remedy if known."""
    return as_started(_one_line(error))


def _one_line(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        # Hydra wraps what a constructor raised; the last line names the key of the config.
        _, named, key = str(error).rpartition("full_key: ")
        return (
            f"{key.strip()}: {_one_line(error.__cause__)}" if named else _one_line(error.__cause__)
        )
    if unnamed := _UNNAMED.search(str(error)):
        return f"{unnamed[1]} has no value; add {unnamed[1]}=<value>"
    if several := ambiguous(str(error)):
        return several
    if isinstance(error, InterpolationResolutionError):
        return " ".join(unwrapped(error).split())
    if refused := of_the_system(error) or lacking_package(error):
        return refused
    remedy, is_hydras = remedy_of(error), isinstance(error, MissingConfigException)
    said = _SEARCHED.sub("", str(error)) if is_hydras else str(error)
    return " ".join(f"{said}; {remedy}".split() if remedy else said.split())
