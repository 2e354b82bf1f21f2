"""How this command was started: by a door in `src/`, or as `missrec <command>`.

Texts name commands as a checkout has them, `python src/train.py`; `as_started` says them as the
user does.
"""

from __future__ import annotations

import os
import re
import sys

from missrec.app.command_line.project import checkout

CONSOLE = "MISSREC_CONSOLE"
"""Set by the installed command; a variable, so that the processes of a launcher know it too."""

_DOOR = re.compile(r"\bpython3? src/(\w+)\.py\b")


def as_started(text: str) -> str:
    """A text in which commands are named as this one was started."""
    return _DOOR.sub(r"missrec \1", text) if _by_console() else text


def another_process(command: str) -> list[str]:
    """The start of a command line that runs the same command in another process."""
    if not _by_console():
        return [sys.executable, sys.argv[0]]
    return [sys.executable, "-P", "-m", "missrec", command]  # no module of the current folder


def _by_console() -> bool:
    return CONSOLE in os.environ or checkout() is None
