"""A paper of one small table, and its sections from toy runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from missrec.report.comparisons import Asked, PairedTests
from missrec.report.paper import Paper, read_paper
from missrec.runs.groups import Run, Setup
from run_folders import SETUP, a_run, write_ranks


def toy_paper(**changes: Any) -> Paper:
    """Our model, a baseline and a floor on `Toys`, from scratch and pre-trained."""
    ours = {"model": "missrec", "inputs": "tv", "transfer": "transductive"}
    baseline = {"model": "sasrec", "inputs": "id", "transfer": "transductive", "pretrained": False}
    floor = {**baseline, "model": "most_popular"}
    table = {
        "name": "Table 9",
        "title": "Toys & <games>",
        "metrics": ["recall@10", "ndcg@10"],
        "reference": "Ours",
        "datasets": ["Toys"],
        "variants": [
            {"name": "pre-trained", "pretrained": True},
            {"name": "from scratch", "pretrained": False, "note": "Nothing is pre-trained."},
        ],
        "rows": [
            {"label": "Base_line", "run": baseline, "published": {"Toys": [0.2, 0.1]}},
            {"label": "Ours", "run": ours, "published": {"Toys": [0.4, 0.3]}},
            {"label": "Nobody's"},
            {"label": "Floor", "run": floor, "part": "floors", "trained": False},
        ],
    }
    toys = {"data": {"toys": "toys", "raw_toys": "raw/toys"}, "published": {"users": 4}}
    return read_paper({"datasets": {"Toys": toys}, "tables": [{**table, **changes}]})


BASELINE = Setup("sasrec", "id", "transductive", "full", pretrained=False, data="toys")
FLOOR = BASELINE._replace(model="most_popular")


def ranked_run(folder: Path, ranks: Sequence[float], *, first_user: int = 0, **changes: Any) -> Run:
    """A run with these recorded ranks; its Recall and NDCG are made up."""
    path = write_ranks(folder / "test_ranks_toys.parquet", ranks, first_user=first_user)
    metrics = {"test/recall@10": sum(rank <= 10 for rank in ranks) / len(ranks)}
    metrics["test/ndcg@10"] = 0.5 * metrics["test/recall@10"]
    if changes.get("setup") != FLOOR:
        metrics |= {"epochs": 3, "stopped_early": 1}
    run = a_run(folder.name, folder=folder, ranks={"toys": path}, metrics=metrics)
    return run._replace(**{"setup": SETUP, **changes})


def asked(**changes: Any) -> Asked:
    """Seeds 1 and 2, and commands that show what they were asked for."""
    settings: dict[str, Any] = {
        "seeds": [1, 2],
        "tests": PairedTests(num_resamples=199, seed=0),
        "command": lambda setup, choice, seeds: f"train {setup.model} {choice} {list(seeds)}",
        "data_notes": {},
        "changed_since": lambda run: [],
    }
    return Asked(**{**settings, **changes})
