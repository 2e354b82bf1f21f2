"""`missrec <command> …`: the commands of an installed package."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

import yaml

from missrec.app.command_line.door import USER_ERROR
from missrec.app.command_line.invocation import CONSOLE
from missrec.app.command_line.project import conf_dir, project_dir
from missrec.app.commands import COMMANDS, run_command


def main() -> None:
    """Runs the command that the first argument names, in the current folder or `$PROJECT_ROOT`."""
    name, *arguments = sys.argv[1:] or ["--help"]
    os.environ[CONSOLE] = "1"
    os.environ["PROJECT_ROOT"] = str(project_dir())
    if name in COMMANDS:
        sys.argv[1:] = arguments
        run_command(name)
    elif name in ("--help", "-h", "help"):
        print(_help())  # noqa: T201
    elif name in ("--version", "-V"):
        print(f"missrec {version('missrec')}")  # noqa: T201
    else:
        sys.stderr.write(f"error: {_unknown(name)}\n")
        sys.exit(USER_ERROR)


def _unknown(name: str) -> str:
    """What to say of a command that there is not."""
    if nearest := get_close_matches(name, COMMANDS, n=1):
        return f"missrec has no command {name}; did you mean {nearest[0]}?"
    return f"missrec has no command {name}; it has {', '.join(COMMANDS)}"


def _help() -> str:
    """Each command with what its config says of it."""
    width = max(map(len, COMMANDS))
    rows = [f"  {name:{width}}  {_header(conf_dir() / f'{name}.yaml')}" for name in COMMANDS]
    return "\n".join(
        [
            "missrec <command> [key=value ...]: multi-modal sequential recommendation.",
            "",
            *rows,
            "",
            "missrec <command> --help shows examples, choices and settings of a command.",
            "data/ and logs/ are those of the current folder; PROJECT_ROOT=<folder> names another.",
        ]
    )


def _header(config: Path) -> str:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    return str(content["hydra"]["help"]["header"])
