"""Run folders: which a setting names, which lie below a folder, and what a finished one holds."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from missrec.runs.folder import CONFIG, FINAL_FIT, METRICS, PROVENANCE, RunFolder, data_places
from missrec.runs.groups import Run, Setup
from missrec.runs.identity import accepted_changes, recorded_identity
from missrec.runs.lists import evaluated_later
from missrec.runs.ranks import recorded_ranks, with_ties_in_expectation
from missrec.runs.settings import Marks, comparable_settings, source_of

_NO_RUNS_BELOW = {"wandb", "mlruns"}
_LISTS, _LIMITS = "metrics.lists", ("cold_item", "cold_user")


class FoundRuns(NamedTuple):
    """Run folders by what can be done with them.

    Attributes:
        finished: those to report.
        unfinished: folder -> what is missing.
        broken: folder -> what is wrong.
    """

    finished: list[Run]
    unfinished: dict[str, str]
    broken: dict[str, str]


class _UnfinishedError(Exception):
    """The folder of a run that has no test metrics yet."""


def run_folders(named: str | Sequence[str]) -> list[Path]:
    """The folders that a setting names: a path, a pattern such as `logs/x/*_s*`, or a list.

    Raises:
        FileNotFoundError: one of them matches nothing.
    """
    folders = []
    for name in [named] if isinstance(named, str) else named:
        path = Path(name)
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise FileNotFoundError(f"{name} matches no run folder")
        folders += matches
    return folders


def find_runs(folders: Iterable[Path], *, marks: Marks, shown_from: Path) -> FoundRuns:
    """Every run in these folders and below them, each once.

    Args:
        folders: run folders, or folders that hold them at any depth.
        marks: by which the seeds of one system have equal `comparable_settings`.
        shown_from: the folder that the names of the runs are relative to.
    """
    found = FoundRuns([], {}, {})
    for folder in dict.fromkeys(path.resolve() for top in folders for path in _run_dirs(top)):
        name = os.path.relpath(folder, shown_from.resolve())
        try:
            found.finished.append(_read_run(folder, name=name, marks=marks))
        except _UnfinishedError as error:
            found.unfinished[name] = str(error)
        except (OSError, ValueError) as error:
            found.broken[name] = " ".join(str(error).split())
        except Exception as error:  # one damaged run does not stop those who ask for all
            found.broken[name] = " ".join(repr(error).split())
    return found


def _run_dirs(top: Path) -> Iterator[Path]:
    for where, names, files in os.walk(top):
        if CONFIG in files or METRICS in files:
            names.clear()  # no run lies inside another
            yield Path(where)
        names[:] = sorted(
            name for name in names if not name.startswith(".") and name not in _NO_RUNS_BELOW
        )


def _read_run(folder: Path, *, name: str, marks: Marks) -> Run:
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{CONFIG} is missing")
    config = RunFolder(folder).read_config()
    origin = _origin(config, folder)
    setup = _setup(config, pretrained=_is_pretrained(config, list(origin.values())))
    settings = comparable_settings(config, marks=marks)
    for key, value in settings.items():
        if "${" in value:
            raise ValueError(
                f"{CONFIG}: {key} ({value}) is no value; write the one that the run had"
            )
    if not (folder / METRICS).is_file():
        resume = shlex.join(["python", "src/train.py", f"resume={folder}"])
        raise _UnfinishedError(f"no {METRICS}; {resume}")
    metrics = _read_metrics(RunFolder(folder))
    limits = {name: json.loads(settings.get(f"{_LISTS}.{name}", "null")) for name in _LIMITS}
    metrics |= evaluated_later(RunFolder(folder).evaluation, metrics, limits=limits)
    if source_of(config) is not None:
        settings["pretraining_run"] = json.dumps(_origin_key(folder, origin, marks))
    commit, dirty = _git_state(folder / PROVENANCE)
    seed = config.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"{CONFIG}: seed ({seed!r}) must be a whole number or null")
    data = recorded_identity(RunFolder(folder))
    return Run(
        name=name,
        folder=folder,
        setup=setup,
        seed=seed,
        data_choice=str(config["data"].get("choice", setup.data)),
        settings=settings,
        metrics=metrics,
        ranks=recorded_ranks(folder),
        commit=commit,
        dirty=dirty,
        first_stage=bool(config.get("first_stage")),
        finished_at=(folder / METRICS).stat().st_mtime,
        data=data,
        places=dict(zip(data or {}, data_places(config), strict=False)),
        accepted=tuple(accepted_changes(RunFolder(folder))),
    )


def _setup(config: Mapping[str, Any], *, pretrained: bool) -> Setup:
    def name(group: str, key: str) -> str:
        section = config.get(group)
        if not isinstance(section, Mapping) or not isinstance(section.get(key), str):
            raise ValueError(f"{CONFIG} has no {group}.{key}: it is of another version")
        return str(section[key])

    return Setup(
        model=name("names", "model"),
        inputs=name("inputs", "name"),
        transfer=name("transfer", "name"),
        ablation=name("names", "ablation"),
        pretrained=pretrained,
        data=name("data", "name"),
    )


def _origin(config: Mapping[str, Any], folder: Path) -> dict[Path, Mapping[str, Any]]:
    """The run that a run started from, what that started from, and so on: folder -> config."""
    found: dict[Path, Mapping[str, Any]] = {}
    while (named := source_of(config)) is not None:
        if named.suffix == ".ckpt":
            named = named.parent.parent  # <run>/checkpoints/<file>
        # Logs that were moved as a whole keep a pre-training beside its runs.
        places = (named.resolve(), (folder.parent / named.name).resolve())
        place = next((place for place in places if (place / CONFIG).is_file()), None)
        if place is None or place == folder or place in found:
            break
        folder, config = place, RunFolder(place).read_config()
        found[folder] = config
    return found


def _is_pretrained(config: Mapping[str, Any], origin: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run, or a stage on its own data that is a part of it, is pre-trained."""
    for run in (config, *origin):
        stages = run.get("stages") or []
        if not all(stage.get("same_data") for stage in stages):
            return True
        if source_of(run) is None or not stages:
            return source_of(run) is not None
    raise ValueError("its first stage is gone: was that pre-trained? See stages in config.yaml")


def _read_metrics(folder: RunFolder) -> dict[str, float]:
    values = folder.read_metrics()
    with suppress(OSError, ValueError):  # of damaged ranks; comparisons say so
        values = with_ties_in_expectation(values, recorded_ranks(folder.path))
    wrong = [key for key, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(f"{METRICS}: {wrong[0]} is {values[wrong[0]]}; the run has diverged")
    if FINAL_FIT in values:
        raise _UnfinishedError("a final fit on everything, which holds nothing out to test on")
    if not any(key.startswith("test/") for key in values):
        raise _UnfinishedError(f"{METRICS} holds no test metrics")
    return values


def _origin_key(folder: Path, origin: Mapping[Path, Mapping[str, Any]], marks: Marks) -> str:
    """What seeds of one system share of the runs they started from: settings and data of each."""
    if origin:
        shared = [
            (comparable_settings(config, marks=marks), recorded_identity(RunFolder(source)))
            for source, config in origin.items()
        ]
        return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    try:
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return f"checkpoint {provenance['pretrained']['sha256']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"unknown, of {folder.name}"


def _git_state(path: Path) -> tuple[str | None, bool | None]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))["git"]
        return str(state["commit"] or "") or None, bool(state["dirty"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
