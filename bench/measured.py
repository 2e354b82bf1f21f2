"""How every benchmark tells what it measured: a table, and JSON under logs/bench/."""

from __future__ import annotations

import atexit
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from missrec.files import write_json

FOLDER = Path(__file__).resolve().parents[1] / "logs" / "bench"


def compute_as_training(width: int | None, precision: str = "highest") -> None:
    """From now on products are those of a training run of this width, as its checkout has them."""
    from missrec.nn import precision as of_checkout  # noqa: PLC0415 # torch takes seconds

    if not hasattr(of_checkout, "products"):
        return  # an earlier one: there torch's word alone says it
    kept = ExitStack()
    kept.enter_context(of_checkout.products(precision, width=width))
    atexit.register(kept.close)


class PeakMemory:
    """Largest anonymous memory of this process meanwhile; mapped files are not counted.

    Pages of a mapped file are the system's to take back at any time.
    """

    def __enter__(self) -> PeakMemory:
        """Starts to look, a hundred times a second."""
        self.before = self.gigabytes = _anonymous()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.gigabytes = max(self.gigabytes, _anonymous())


def _anonymous() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e9


def write_report(name: str, report: dict[str, Any], *, show: bool = True) -> None:
    """Writes `logs/bench/<name>.json` and prints its numbers, unless a table says them better."""
    if show:
        rows = [[key, _shown(value)] for key, value in report.items()]
        print_table(name, ["figure", "value"], rows)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(FOLDER / f"{name}.json", report)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def cpu_seconds(function: Callable[[], object]) -> float:
    """Of this process: what else the machine does meanwhile counts little."""
    start = time.process_time()
    function()
    return time.process_time() - start


class Usage(NamedTuple):
    """What a command took.

    Attributes:
        seconds: of CPU time, of it and its children.
        peak_gigabytes: resident at the most, mapped files of libraries included.
    """

    seconds: float
    peak_gigabytes: float


def command_usage(
    checkout: Path, name: str, arguments: Sequence[str], *, bytecode: Path | None = None
) -> Usage:
    """What a command of a checkout takes, with one thread for each of its processes.

    Args:
        checkout: whose code runs.
        name: of the file in its `src/`.
        arguments: of the command.
        bytecode: a folder for it, empty to measure a start without any; None is beside the code.
    """
    command = [sys.executable, str(checkout / "src" / f"{name}.py"), *arguments]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "PROJECT_ROOT": str(checkout),
        "PYTHONPATH": str(checkout / "src"),
    }
    if bytecode is not None:
        environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{shlex.join(command)} failed:\n{said.read().decode()}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


def command_seconds(checkout: Path, name: str, arguments: Sequence[str]) -> float:
    """CPU seconds of a command of a checkout and of its children, one thread each."""
    return command_usage(checkout, name, arguments).seconds
