"""RecBole's SASRec on batches written by bench/train.py; runs in RecBole's own environment.

.venv-bench/bin/python bench/recbole_sasrec.py batches.npz --width 300
Prints the seconds of one pass over the batches; with --memory the seconds of CPU time, and the
gigabytes that were in memory at the most.
"""

from __future__ import annotations

import argparse
import resource
import time
from types import SimpleNamespace

import numpy as np
import torch
from recbole.model.sequential_recommender import SASRec

INNER_PER_WIDTH = 4  # RecBole's default: 64 and 256
MAX_LENGTH = 50


class Settings(dict):
    """What RecBole's models read of a `Config`, with RecBole's defaults for SASRec."""

    def __init__(self, width: int) -> None:
        super().__init__(
            USER_ID_FIELD="user_id",
            ITEM_ID_FIELD="item_id",
            LIST_SUFFIX="_list",
            ITEM_LIST_LENGTH_FIELD="item_length",
            NEG_PREFIX="neg_",
            MAX_ITEM_LIST_LENGTH=MAX_LENGTH,
            device=torch.device("cpu"),
            n_layers=2,
            n_heads=2,
            hidden_size=width,
            inner_size=INNER_PER_WIDTH * width,
            hidden_dropout_prob=0.5,
            attn_dropout_prob=0.5,
            hidden_act="gelu",
            layer_norm_eps=1e-12,
            initializer_range=0.02,
            loss_type="CE",
        )


def main() -> None:
    """One warm-up batch, then all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory", action="store_true", help="see above")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with np.load(arguments.batches) as stored:
        num_items = int(stored["num_items"])
        batches = [
            {
                "item_id_list": torch.from_numpy(stored[f"items_{i}"]),
                "item_length": torch.from_numpy((stored[f"items_{i}"] > 0).sum(axis=1)),
                "item_id": torch.from_numpy(stored[f"targets_{i}"]),
            }
            for i in range(int(stored["num_batches"]))
        ]
    dataset = SimpleNamespace(num=lambda field: num_items + 1)
    model = SASRec(Settings(arguments.width), dataset)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

    def step(batch: dict[str, torch.Tensor]) -> None:
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()

    step(batches[0])
    clock = time.process_time if arguments.memory else time.perf_counter
    start = clock()
    for batch in batches:
        step(batch)
    seconds = clock() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{seconds} {peak}" if arguments.memory else seconds)


if __name__ == "__main__":
    main()
