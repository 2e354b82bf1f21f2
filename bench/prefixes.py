"""What reading all prefixes of a user in one pass saves of an epoch.

python bench/prefixes.py --data toys                      # a folder in data/
python bench/prefixes.py --data toys --against ../main    # prefixes apart by another checkout

CPU seconds of an epoch of training, forward, backward and Adam, with samples=prefixes and with
samples=prefixes_together: the same targets, in as many steps. Both take turns, each in a process of
its own, one thread. An epoch is estimated from batches that are spread evenly over the lengths of
its histories, as many as --batches says; 0 takes all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKOUT = Path(os.environ.get("BENCH_CHECKOUT", ROOT)).resolve()
"""Whose code runs."""
sys.path.insert(0, str(CHECKOUT / "src"))
os.environ["PROJECT_ROOT"] = str(CHECKOUT)

import torch
from hydra import compose, initialize_config_dir
from measured import compute_as_training, write_report

from missrec.app.build import build_experiment
from missrec.app.session import plain
from missrec.app.settings import read_run
from missrec.training.memory import keep_freed_memory


def epoch_seconds(arguments: argparse.Namespace) -> float:
    """CPU seconds of an epoch with `arguments.samples`."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose(
            "train",
            overrides=[
                "data=folders",
                f"data.folders=[{(ROOT / 'data' / arguments.data).resolve()}]",
                f"model={arguments.model}",
                f"samples={arguments.samples}",
                "transfer=transductive",
                "logger=csv",
                "names.experiment=bench",
                "names.model=bench",
                f"run_dir={tempfile.gettempdir()}",
            ],
        )
    compute_as_training(cfg.model.get("embed_dim"), cfg.matmul_precision)
    torch.manual_seed(0)
    experiment = build_experiment(read_run(plain(cfg)))
    model = experiment.module.model.train()
    optimizer = experiment.module.configure_optimizers()
    batches = sorted(experiment.datamodule.train_dataloader(), key=lambda b: b.item_ids.shape[1])
    count = arguments.batches or len(batches)
    chosen = [batches[(2 * i + 1) * len(batches) // (2 * count)] for i in range(count)]

    def step(batch: object) -> None:
        optimizer.zero_grad()
        model.training_loss(batch).total.backward()
        optimizer.step()

    step(chosen[0])
    start = time.process_time()
    for batch in chosen:
        step(batch)
    return (time.process_time() - start) / count * len(batches)


def in_a_process(arguments: argparse.Namespace, samples: str, checkout: str) -> float:
    """The same by the code of a checkout, in a process of its own."""
    command = [sys.executable, __file__, "--samples", samples, "--data", arguments.data]
    command += ["--model", arguments.model, "--batches", str(arguments.batches)]
    environment = os.environ | {"BENCH_CHECKOUT": checkout}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Both in turn, and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="scientific_mm_subset", help="name of a folder in data/")
    parser.add_argument("--model", default="sasrec", help="name under conf/model/")
    parser.add_argument("--against", default=str(ROOT), help="checkout that reads prefixes apart")
    parser.add_argument("--batches", type=int, default=12, help="of an epoch; 0: all")
    parser.add_argument("--repeats", type=int, default=3, help="of both in turn")
    parser.add_argument("--samples", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.samples:
        print(epoch_seconds(arguments))
        return
    pairs = [
        (
            in_a_process(arguments, "prefixes", arguments.against),
            in_a_process(arguments, "prefixes_together", str(ROOT)),
        )
        for _ in range(arguments.repeats)
    ]
    report = {
        "model": arguments.model,
        "batches": arguments.batches,
        "apart_cpu_sec": [apart for apart, _ in pairs],
        "together_cpu_sec": [together for _, together in pairs],
        "apart_over_together": statistics.median(apart / together for apart, together in pairs),
    }
    write_report(f"prefixes_{arguments.data}_{arguments.model}", report)


if __name__ == "__main__":
    main()
