"""Recommendations of very many users: peak memory and speed, and what kills leave of them.

python bench/recommend.py            # 20,000 users; --users 1000000 --items 100000 for the bar
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from measured import print_table, write_report

from missrec.app.model import build_model, open_domains
from missrec.app.recommend import recommend
from missrec.app.recommend_settings import read_settings
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.domain import PreparedDomain, write_domain
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import write_checkpoint
from run_folders import run_config

_MAKES, _KILLED = get_context("spawn"), get_context("fork")
WIDTH, K = 16, 20


def make_run(folder: Path, num_users: int, num_items: int) -> None:
    """A SASRec that was not trained, on users with 3 to 15 interactions, in `<folder>/run`."""
    draw = np.random.default_rng(0)
    offsets = np.cumsum([0, *draw.integers(3, 16, num_users)])
    domain = PreparedDomain(
        name="shop",
        items=draw.integers(1, num_items + 1, offsets[-1]).astype(np.int32),
        offsets=offsets,
        times=None,
        user_keys=[f"customer-{number:08d}" for number in range(num_users)],
        item_keys=[f"B{number:09d}" for number in range(num_items)],
        item_texts=[f"Product number {number}" for number in range(num_items)],
        image_urls=None,
        features={},
        settings={},
    )
    (folder / "data/shop").mkdir(parents=True)
    write_domain(folder / "data/shop", domain)
    data = ["data=folders", f"data.folders=[{folder / 'data/shop'}]"]
    config = run_config("model=sasrec", *data, f"model.embed_dim={WIDTH}")
    run = RunFolder(folder / "run")
    run.checkpoints.mkdir(parents=True)
    run.write_config({**config, "run_dir": str(run.path)})
    torch.manual_seed(0)
    settings = read_saved_run(run, data_dir=folder / "data", trust=False)
    model = build_model(settings, open_domains(settings)).model
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    write_checkpoint(run.checkpoints / "epoch_000.ckpt", {"state_dict": state})


def run_command(folder: Path, name: str, **changes: Any) -> None:
    """The command in this process."""
    places = [f"run={folder / 'run'}", f"paths.data_dir={folder / 'data'}", f"out={folder / name}"]
    settings = [f"{key}={value}" for key, value in changes.items()]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("recommend", [*places, f"k={K}", "accelerator=cpu", "show=0", *settings])
    recommend(read_settings(cfg))


def measured(folder: Path, name: str, found: Any) -> None:
    """Runs the command and puts seconds and peak memory, mapped files included."""
    start = time.perf_counter()
    run_command(folder, name)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found.put((time.perf_counter() - start, kilobytes * 1024 / 1e9))


def in_process(context: Any, target: Callable[..., None], *arguments: Any) -> Any:
    """Starts a process of its own."""
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def kills(folder: Path, number: int, draw: random.Random) -> tuple[int, int, int]:
    """How many kills hit the work, how many repeats ended with the same bytes, and with others."""
    small = {"shard_size": 500, "show_progress": "false"}

    def ended(name: str) -> tuple[float, str]:
        start = time.perf_counter()
        process = in_process(_KILLED, run_quietly, folder, name, small)
        process.join()
        content = (folder / name).read_bytes()
        return time.perf_counter() - start, hashlib.sha256(content).hexdigest()

    seconds, expected = ended("expected.parquet")
    hit = same = other = 0
    for turn in range(number):
        name = f"{turn}.parquet"
        process = in_process(_KILLED, run_quietly, folder, name, small)
        time.sleep(draw.uniform(0, seconds))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        hit += (folder / f"{name}.parts").exists()
        _, found = ended(name)
        same, other = same + (found == expected), other + (found != expected)
        left = [path for path in folder.glob(f"*{turn}.parquet*") if path.name != name]
        other += bool(left)
        (folder / name).unlink()
    return hit, same, other


def run_quietly(folder: Path, name: str, changes: dict[str, Any]) -> None:
    """The command without its messages."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        run_command(folder, name, **changes)


def main() -> None:
    """Measures one command, then kills smaller ones; ends with 1 if any ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=30)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*fork.*")
    report: dict[str, Any] = {"users": chosen.users, "items": chosen.items}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        in_process(_MAKES, make_run, folder, chosen.users, chosen.items).join()
        found = _MAKES.Queue()
        in_process(_MAKES, measured, folder, "recs.parquet", found)
        report["seconds"], report["gigabytes"] = found.get()
        report["output_megabytes"] = (folder / "recs.parquet").stat().st_size / 1e6
        shutil.rmtree(folder)
        folder.mkdir()
        if chosen.kills:
            in_process(_MAKES, make_run, folder, 4000, 500).join()
            counts = kills(folder, chosen.kills, random.Random(0))
            report |= dict(zip(("kills_at_work", "same", "other"), counts, strict=True))
    columns = ["users", "items", "seconds", "users/s", "peak GB", "file, MB"]
    speed = chosen.users / report["seconds"]
    row = [f"{report['seconds']:,.0f}", f"{speed:,.0f}", f"{report['gigabytes']:.2f}"]
    counted = [f"{chosen.users:,}", f"{chosen.items:,}"]
    print_table(f"top {K}", columns, [[*counted, *row, f"{report['output_megabytes']:,.0f}"]])
    write_report("recommend", report, show=bool(chosen.kills))
    sys.exit(bool(report.get("other")))


if __name__ == "__main__":
    main()
