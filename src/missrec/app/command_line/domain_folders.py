"""`data=folders 'data.folders=[…]'`: domain folders that a command names itself."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

from missrec.app.command_line.grammar import as_word
from missrec.app.command_line.project import project_dir
from missrec.data.manifest import MANIFEST
from missrec.files import recover_folder

_LONGEST_NAME = 60
"""Bytes; it is a part of the names of runs, which are folders."""

_EXAMPLE = "data=folders 'data.folders=[data/toys,data/sports]'"


def folders_name(folders: Sequence[str]) -> str:
    """The name of domains together, such as `toys+sports`; of many, the start and a hash.

    Of what `absolute_folders` refuses it is any: a command says what is wrong once it has a folder.
    """
    names = [Path(_absolute(one)).name.lstrip(".") for one in _listed(folders)] or ["none"]
    name = "+".join(re.sub(r"[^\w.-]", "_", one) for one in names)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    start = name.encode()[: _LONGEST_NAME - 24].decode(errors="ignore").rstrip("+")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{start}-{len(names)}_domains-{digest}"


def folders_choice(folders: Sequence[str], name: str | None = None) -> str:
    """What follows `data=` on a command line to choose these folders, quoted for a shell.

    Args:
        folders: absolute, or from where the command is run.
        name: of them together, where it may be another than theirs.
    """
    values = ",".join(as_word(told(one)) for one in _listed(folders))
    words = ["folders", f"data.folders=[{values}]"]
    if name is not None and name != folders_name(folders):
        words.append(f"data.name={as_word(name)}")
    return shlex.join(words)


def told(folder: str | Path) -> str:
    """A folder as it is named on a command line at the root of the project."""
    path = Path(_absolute(folder))
    root = project_dir()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def absolute_folders(folders: Any) -> list[str]:
    """The folders of a command, wherever a later one is run that goes on with it.

    Raises:
        ValueError: they are no list of folders, there is none, or one is named twice.
    """
    if not isinstance(folders, list | tuple) or not all(isinstance(f, str | int) for f in folders):
        raise ValueError(f"data.folders ({folders}) must be a list of folders, as in {_EXAMPLE}")
    if not folders:
        raise ValueError(f"data.folders is empty; name prepared folders, as in {_EXAMPLE}")
    found: list[str] = []
    for folder in map(_absolute, folders):
        for other in found:
            if os.path.realpath(folder) == os.path.realpath(other):
                raise ValueError(f"data.folders names {told(folder)} twice; leave one out")
            if Path(folder).name == Path(other).name:
                raise ValueError(
                    f"data.folders: {told(other)} and {told(folder)} have one name, by which runs "
                    "and reports know a domain; prepare one of them under another"
                )
        found.append(folder)
    return found


def check_prepared(folder: Path) -> None:
    """Refuses what is no domain folder, and says which there are at its place.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it holds no domain.
    """
    recover_folder(folder)
    if (folder / MANIFEST).is_file():
        return
    what = "is no domain folder" if folder.exists() else "is missing"
    inside = _prepared_in(folder)
    where, there = (folder, inside) if inside else (folder.parent, _prepared_in(folder.parent))
    has = f"{told(where)} has {', '.join(there)}" if there else "prepare it, see docs/prepare.md"
    kind = ValueError if folder.exists() else FileNotFoundError
    raise kind(f"data.folders: {told(folder)} {what}; {has}")


def _prepared_in(folder: Path) -> list[str]:
    names = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    return [name for name in names if name != "features"]


def _absolute(folder: str | int | Path) -> str:
    return os.path.normpath(Path(str(folder)).expanduser().absolute())


def _listed(folders: Any) -> list[Any]:
    """The folders of a list, also of a config; of anything else none."""
    return list(folders) if isinstance(folders, list | tuple | ListConfig) else []


OmegaConf.register_new_resolver("folders_name", folders_name, replace=True)
OmegaConf.register_new_resolver("folders_choice", folders_choice, replace=True)
