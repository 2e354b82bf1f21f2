"""What is said of a run before what is heavy is imported, at its end, and when it is broken off."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from pathlib import Path

from missrec.app.command_line.domain_folders import told
from missrec.app.command_line.door import INTERRUPTED, TERMINATED
from missrec.app.command_line.grammar import as_word
from missrec.app.command_line.invocation import as_started
from missrec.app.settings import RunSettings
from missrec.runs.folder import RunFolder

_log = logging.getLogger(__name__)


def _is_first() -> bool:
    """Whether this process speaks; as `missrec.distributed` has it, which imports torch."""
    return os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0"


def begin_run(run: RunSettings) -> None:
    """Says what will run, on what, and where."""
    if not _is_first():
        return
    trainer = run.config["trainer"]
    _log.info(
        "%s %s on %s, %s, for %s; on %s; into %s",
        "goes on with" if run.resume else "trains",
        run.model,
        run.data.name,
        " and ".join([*run.modalities, *(["ids"] if run.item_ids else [])]) or "nothing",
        _up_to_limit(run),
        "the best device" if trainer.get("accelerator") == "auto" else trainer.get("accelerator"),
        told(run.run_dir),
    )


def end_run(run: RunSettings) -> None:
    """Names the folder of a run that has ended, and what is done with one next."""
    if not _is_first():
        return
    named = _named("run", run.run_dir)
    for line in (
        f"run folder: {told(run.run_dir)}",
        f"next: python src/evaluate.py {named}",
        f"or:   python src/recommend.py {named}",
        f"fit to ship? python src/report.py {named}",
    ):
        _log.info("%s", as_started(line))


def broken_off_by(error: BaseException) -> int | None:
    """The exit code of Ctrl-C or SIGTERM, also as Lightning tells the former: by an exit."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return INTERRUPTED
    return TERMINATED if isinstance(error, SystemExit) and error.code == TERMINATED else None


def interrupt_run(run: RunSettings, code: int) -> None:
    """Says where a run stands that was broken off, and how it goes on; ends the command.

    Args:
        run: the run.
        code: that the command ends with.

    Raises:
        SystemExit: always, but of a run that has written nothing, whose folder goes.
    """
    if not RunFolder(run.run_dir).holds_run:
        raise KeyboardInterrupt
    if not _is_first():
        sys.exit(code)
    again = as_started(f"python src/train.py {_named('resume', run.run_dir)}")
    sys.stderr.write(f"interrupted: {_standing(run)}; go on with: {again}\n")
    sys.exit(code)


def _standing(run: RunSettings) -> str:
    """What of a run is kept."""
    from missrec.runs.checkpoints import resumable  # torch takes seconds
    from missrec.training.checkpoints import read_checkpoint

    try:
        kept = resumable(run.run_dir)
        if kept is None:
            return "no epoch is kept yet"
        content = read_checkpoint(kept, needed=("epoch", "global_step"), mmap=True)
    except ValueError as error:
        return str(error)
    progress = content.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
    done = progress.get("current", {}).get("processed", content["epoch"])
    return f"{kept.name} has {done} of {_up_to_limit(run)}, {content['global_step']} steps"


def _up_to_limit(run: RunSettings) -> str:
    limit = run.config["trainer"].get("max_epochs")
    return "any number of epochs" if limit in (None, -1) else f"up to {limit} epochs"


def _named(key: str, folder: Path) -> str:
    return shlex.join([f"{key}={as_word(told(folder))}"])
