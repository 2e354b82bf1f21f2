"""Hardships: each command ends as if there had been none, or says in a line what is the matter.

python bench/limits.py           # as root of a Linux machine, for the mounts; a few minutes
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ["PROJECT_ROOT"] = str(ROOT)

from between import markdown_table, write_between
from measured import print_table, write_report

import missrec.app.train  # noqa: F401  # once, for all children
from doors import Ended, call

FORK = multiprocessing.get_context("fork")
NEW_MOUNTS = 0x00020000
LIMIT_SEC = 300
SMALL = (
    "experiment=demo",
    "data.sources.demo_office.num_users=200",
    "data.sources.demo_office.num_items=60",
    "model.embed_dim=8",
    "trainer.accelerator=cpu",
    "~callbacks.progress_bar",
    "trainer.enable_progress_bar=false",
    "trainer.max_epochs=3",
    "callbacks.latest.train_time_interval=null",
    "callbacks.latest.every_n_train_steps=1",
)
TWO = ("trainer=ddp_cpu", "trainer.strategy.timeout_sec=60")


class Runs(NamedTuple):
    """Where trials train.

    Attributes:
        place: a folder for all.
        expected: `metrics.json` without a hardship, of one process and of two.
    """

    place: Path
    expected: dict[int, bytes]


Hardship = Callable[[Path], None]
Meanwhile = Callable[[int, Path], None]


def train(
    runs: Runs,
    name: str,
    *overrides: str,
    before: Hardship | None = None,
    meanwhile: Meanwhile | None = None,
) -> Ended:
    """A training in a child, after a hardship; what its parent does meanwhile gets its number."""
    run_dir = runs.place / name
    places = (f"paths.data_dir={runs.place / 'data'}", f"hydra.run.dir={run_dir}")
    goes_on = overrides[:1] == (f"resume={run_dir}",)
    arguments = overrides if goes_on else (*SMALL, *places, *overrides)
    receiver, sender = FORK.Pipe(duplex=False)

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            run_dir.mkdir(exist_ok=True)
            before(run_dir)
        ended = call("train", *arguments)
        sender.send((str(ended.code), ended.stdout[-2000:], ended.stderr[-20000:]))

    process = FORK.Process(target=work)
    process.start()
    assert process.pid is not None
    if meanwhile is not None:
        meanwhile(process.pid, run_dir)
    until = time.monotonic() + LIMIT_SEC
    while process.is_alive() and not receiver.poll(0.2) and time.monotonic() < until:
        pass
    said = receiver.recv() if receiver.poll() else None
    process.join(20)
    if process.is_alive():
        process.kill()
        return Ended("hangs", "", "")
    return Ended(*said) if said else Ended(f"ended by {process.exitcode}", "", "")


def judged(ended: Ended, run_dir: Path, expected: bytes) -> str:
    """`right`, `one line`, or what is wrong."""
    metrics = run_dir / "metrics.json"
    if ended.code == "0":
        return "right" if metrics.read_bytes() == expected else "other metrics"
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if ended.code in {"1", "2"} and len(errors) == 1 and "Traceback" not in ended.stderr:
        return "one line"
    return f"{ended.code}: {' | '.join(lines[-3:])[-300:]}"


def resumed(runs: Runs, name: str, processes: int = 1) -> str:
    """How a run that was ended goes on."""
    ended = train(runs, name, f"resume={runs.place / name}")
    outcome = judged(ended, runs.place / name, runs.expected[processes])
    return "right after resume" if outcome == "right" else outcome


def once_it_trains(run_dir: Path) -> None:
    """Waits for the first checkpoint."""
    until = time.monotonic() + LIMIT_SEC
    while not (run_dir / "checkpoints/latest.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.005)


def children_of(pid: int) -> list[int]:
    """Their numbers."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(number) for number in listed]


def killed_parent(runs: Runs) -> Iterator[str]:
    others: list[int] = []

    def kill(pid: int, run_dir: Path) -> None:
        once_it_trains(run_dir)
        others.extend(children_of(pid))
        os.kill(pid, signal.SIGKILL)

    train(runs, "parent", *TWO, meanwhile=kill)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in others) and time.monotonic() < until:
        time.sleep(0.1)
    left = [pid for pid in others if Path(f"/proc/{pid}").exists()]
    if left or not others:
        yield f"{len(left)} of {len(others)} go on"
    else:
        yield resumed(runs, "parent", 2)


def stopped_process(runs: Runs) -> Iterator[str]:
    def stop(pid: int, run_dir: Path) -> None:
        once_it_trains(run_dir)
        for other in children_of(pid):
            os.kill(other, signal.SIGSTOP)
        time.sleep(5)
        for other in children_of(pid):
            os.kill(other, signal.SIGCONT)

    ended = train(runs, "stopped", *TWO, meanwhile=stop)
    yield judged(ended, runs.place / "stopped", runs.expected[2])


def ctrl_c_twice(runs: Runs) -> Iterator[str]:
    for number, apart_sec in enumerate((0.0, 0.05, 0.5)):
        name = f"ctrl_c_{number}"

        def interrupt(pid: int, run_dir: Path, apart_sec: float = apart_sec) -> None:
            once_it_trains(run_dir)
            for _ in range(2):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                time.sleep(apart_sec)

        ended = train(runs, name, meanwhile=interrupt)
        yield "ended with 0" if ended.code == "0" else resumed(runs, name)


def few_files(runs: Runs) -> Iterator[str]:
    for number in (24, 48, 128):
        name = f"files_{number}"

        def limit(_: Path, number: int = number) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))

        ended = train(runs, name, "datamodule.num_workers=2", before=limit)
        yield judged(ended, runs.place / name, runs.expected[1])


def little_memory(runs: Runs) -> Iterator[str]:
    for megabytes in (64, 128, 256):
        name = f"memory_{megabytes}"

        def limit(_: Path, megabytes: int = megabytes) -> None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + (megabytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        ended = train(runs, name, before=limit)
        yield judged(ended, runs.place / name, runs.expected[1])


def mounted(*arguments: str) -> None:
    """Mounts for this process and its children alone."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare: needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", *arguments], check=True)


def no_shared_memory(runs: Runs) -> Iterator[str]:
    for size in ("4k", "64k"):
        name = f"shared_{size}"

        def limit(_: Path, size: str = size) -> None:
            mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", "/dev/shm")

        ended = train(runs, name, "datamodule.num_workers=2", before=limit)
        yield judged(ended, runs.place / name, runs.expected[1])


def read_only(runs: Runs) -> Iterator[str]:
    def limit(run_dir: Path) -> None:
        mounted("-t", "tmpfs", "-o", "ro", "tmpfs", str(run_dir))

    yield judged(train(runs, "read_only", before=limit), runs.place / "read_only", b"")


def full_disk(runs: Runs) -> Iterator[str]:
    for size in ("16k", "64k", "256k"):
        name = f"full_{size}"

        def limit(run_dir: Path, size: str = size) -> None:
            mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(run_dir))

        ended = train(runs, name, before=limit)
        yield judged(ended, runs.place / name, runs.expected[1]) if ended.code != "0" else "right"


def jumping_clock(runs: Runs) -> Iterator[str]:
    for number, day in enumerate((-86_400, 86_400)):
        name = f"clock_{number}"

        def jump(_: Path, day: int = day) -> None:
            plain, calls = time.time, count()
            time.time = lambda: plain() + day * (next(calls) // 10 % 2)

        ended = train(runs, name, before=jump)
        yield judged(ended, runs.place / name, runs.expected[1])


HARDSHIPS: dict[str, Callable[[Runs], Iterator[str]]] = {
    "the first of two processes is killed (SIGKILL), then `resume=`": killed_parent,
    "the second of two processes is stopped for 5 s (SIGSTOP, SIGCONT)": stopped_process,
    "Ctrl-C twice, 0 to .5 s apart, then `resume=`": ctrl_c_twice,
    "24 to 128 open files (`ulimit -n`), two workers of the loader": few_files,
    "64 to 256 MB of memory more than after the imports (`ulimit -v`)": little_memory,
    "4 and 64 kB of `/dev/shm`, two workers of the loader": no_shared_memory,
    "a run folder that cannot be written to": read_only,
    "a disk that is full after 16 to 256 kB": full_disk,
    "a clock that jumps a day back and forth": jumping_clock,
}


def main(chosen: Sequence[str]) -> None:
    """Tries each; ends with 1 if any ended otherwise."""
    warnings.simplefilter("ignore")
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), {})
        for processes, more in ((1, ()), (2, TWO)):
            if chosen and processes == 2 and not {"killed_parent", "stopped_process"} & set(chosen):
                continue
            ended = train(runs, f"reference_{processes}", *more)
            assert ended.code == "0", ended
            metrics = runs.place / f"reference_{processes}/metrics.json"
            runs.expected[processes] = metrics.read_bytes()
        for title, tried in HARDSHIPS.items():
            if chosen and tried.__name__ not in chosen:
                continue
            outcomes = Counter(tried(runs))
            good = {name: outcomes.pop(name, 0) for name in GOOD}
            wrong += [f"{title}: {outcome}" for outcome in outcomes]
            total = sum(good.values()) + outcomes.total()
            shown = [str(total), str(good["right"] + good["right after resume"])]
            rows.append([title, *shown, str(good["one line"]), str(outcomes.total())])
            print(rows[-1], list(outcomes), flush=True)
            for path in runs.place.iterdir():
                if not path.name.startswith(("data", "reference")):
                    shutil.rmtree(path)
    columns = ["hardship", "tried", "right", "one line", "other"]
    print_table("hardships", columns, rows)
    if not chosen:
        page = ROOT / "docs" / "reliability.md"
        write_between(page, "limits", markdown_table(columns, rows))
        write_report("limits", {row[0]: row[1:] for row in rows}, show=False)
    sys.exit("\n".join(wrong) or 0)


GOOD = ("right", "right after resume", "one line")

if __name__ == "__main__":
    main(sys.argv[1:])
