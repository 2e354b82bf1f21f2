"""The settings of a run that has been trained, its data where it lies today; no Lightning in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from missrec.app.command_line.remedies import no_run
from missrec.app.settings import RunSettings, read_run
from missrec.app.trained.exported import refuse_exported
from missrec.runs.folder import RunFolder, data_places, placed_today
from missrec.runs.trust import refuse_strangers


def read_saved_run(
    folder: RunFolder, *, data_dir: Path, trust: bool, built: Sequence[str] | None = None
) -> RunSettings:
    """The settings of a run, its domain folders as they lie today, see `placed_today`.

    Args:
        folder: of the run.
        data_dir: where the domain folders are.
        trust: whether the config may name code that is none of this project's.
        built: sections that will be built, see `refuse_strangers`; None for all.

    Raises:
        FileNotFoundError: the folder is no run folder.
        ValueError: it is an exported model; or its config cannot be read, or names code of a
            stranger and is not trusted.
    """
    refuse_exported(folder.path, name="run")
    if not folder.config.is_file():
        raise FileNotFoundError(no_run("run", f"{folder.config} is missing"))
    config = folder.read_config()
    if not trust:
        refuse_strangers(config, where=str(folder.config), built=built)
    read_run(config)  # refuses what is no config of a run
    folders = [str(placed_today(place, data_dir)) for place in data_places(config)]
    config["data"] = {**config["data"], "folders": folders}
    config["datamodule"] = {**config["datamodule"], "folders": folders}
    return read_run(config)
