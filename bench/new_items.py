"""How well new items are recommended by a model that was trained without them.

python bench/new_items.py hide data/scientific     # writes data/scientific_known, to train on
python src/train.py experiment=scratch data=folders 'data.folders=[data/scientific_known]' \\
    model=missrec_released transfer=transductive seed=1     # and transfer=inductive
python bench/new_items.py measure data/scientific logs/scratch/<run> ...    # on validation
python bench/new_items.py measure data/scientific logs/scratch/<run> ... --part test

The newest fifth of the items is hidden. The released files have no times: what counts as newest is
the highest ASIN, which Amazon gives out in a rising order as items are listed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import numpy as np
import torch
from measured import print_table, write_report
from torch import Tensor

from missrec.app.build import Experiment, build_experiment
from missrec.app.settings import read_run
from missrec.data.domain import (
    MIN_INTERACTIONS,
    PreparedDomain,
    read_items,
    read_prepared,
    write_domain,
)
from missrec.features.store import features_manifest, read_features, write_features
from missrec.files import replace_folder
from missrec.metrics.ranking import ranking_metrics
from missrec.retrieval.new_items import ItemMap, map_items, take_over
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import read_checkpoint
from missrec.training.ranking import DomainRanking

HIDDEN_SHARE = 0.2
SHOWN = ("recall@10", "recall@50", "ndcg@10")
FLOORS = {
    "popularity": ({"_target_": "missrec.models.most_popular.MostPopular"}, []),
    "nearest text": ({"_target_": "missrec.models.nearest_neighbor.NearestNeighbor"}, ["text"]),
    "nearest image": ({"_target_": "missrec.models.nearest_neighbor.NearestNeighbor"}, ["image"]),
}
"""What needs no training: the model and its modalities."""


def hide_newest(whole: PreparedDomain) -> PreparedDomain:
    """The domain as it was before its newest items were listed.

    Users who are left with too few interactions to train, validate and test on are dropped.
    """
    keys = np.array(whole.item_keys)
    num_known = len(keys) - round(HIDDEN_SHARE * len(keys))
    known = np.sort(np.argsort(keys, kind="stable")[:num_known])  # from 0
    new_ids = np.zeros(len(keys) + 1, np.int32)
    new_ids[known + 1] = np.arange(1, len(known) + 1)
    users = np.repeat(np.arange(len(whole.user_keys)), np.diff(whole.offsets))
    kept = new_ids[whole.items] > 0
    lengths = np.bincount(users[kept], minlength=len(whole.user_keys))
    stays = lengths >= MIN_INTERACTIONS
    kept &= stays[users]
    return replace(
        whole,
        items=new_ids[whole.items[kept]],
        offsets=np.concatenate([[0], np.cumsum(lengths[stays])]).astype(np.int64),
        times=None if whole.times is None else whole.times[kept],
        user_keys=[whole.user_keys[user] for user in np.flatnonzero(stays)],
        item_keys=[whole.item_keys[item] for item in known],
        item_texts=[whole.item_texts[item] for item in known],
        image_urls=None if whole.image_urls is None else whole.image_urls.gather(known),
        settings={**whole.settings, "hidden": f"the {HIDDEN_SHARE:.0%} highest item keys"},
    )


def known_folder(whole: Path) -> Path:
    """Of the domain without its newest items."""
    return whole.with_name(f"{whole.name}_known")


def write_known(folder: Path) -> None:
    """Writes `<folder>_known` beside a domain folder, with the features of the items it keeps."""
    whole = read_prepared(folder)
    known = hide_newest(whole)
    settings = features_manifest(folder)["settings"]
    features = read_features(folder, list(settings), num_items=len(whole.item_keys))
    place = {key: row for row, key in enumerate(whole.item_keys)}
    rows = [place[key] for key in known.item_keys]
    dense = {}
    for modality, (item_ids, values) in features.items():
        all_rows = np.zeros((len(whole.item_keys), values.shape[1]), values.dtype)
        all_rows[item_ids - 1] = values
        dense[modality] = all_rows[rows]
    with replace_folder(known_folder(folder)) as draft:
        write_domain(draft, known)
        write_features(draft, dense, settings=settings[next(iter(settings))])


def on_folder(run: Path, folder: Path, **changed: Any) -> Experiment:
    """Data and untrained model by the settings of a run, on another domain folder."""
    config = RunFolder(run).read_config() | changed
    for group in ("data", "datamodule"):
        config[group] = {**config[group], "folders": [str(folder.absolute())]}
    return build_experiment(read_run(config))


def model_state(run: Path) -> dict[str, Tensor]:
    """What a run has learnt."""
    state = read_checkpoint(chosen_checkpoint(run))["state_dict"]
    return {
        name.removeprefix("model."): value
        for name, value in state.items()
        if name.startswith("model.")
    }


@torch.no_grad()
def metrics_by_target(experiment: Experiment, *, part: str, is_new: Tensor) -> dict[str, float]:
    """The metrics of the users whose target is new, and of the others.

    Args:
        experiment: with the model filled.
        part: `val` or `test`.
        is_new: (N + 1,) bool.
    """
    data, module = experiment.datamodule, experiment.module.eval()
    ranking = DomainRanking(
        module._recommender,
        data.domains.spans[0],
        users_per_tile=512,
        items_per_tile=16_384,
        filter_seen=False,
        device=torch.device("cpu"),
    )
    for batch in {"val": data.val_dataloader, "test": data.test_dataloader}[part]()[0]:
        ranking.add(batch)
    found: dict[str, float] = {}
    ranked = ranking.finish()
    above = torch.cat([users.num_greater for users in ranked])
    equal = torch.cat([users.num_equal for users in ranked])
    targets_new = is_new[torch.cat([users.target_ids for users in ranked])]
    for name, chosen in (("new", targets_new), ("known", ~targets_new)):
        metrics = ranking_metrics(above[chosen], equal[chosen], cutoffs=[10, 50])
        found |= {f"{name} {key}": metrics[key] for key in SHOWN}
        found[f"{name} users"] = float(chosen.sum())
    return found


def measured(whole: Path, runs: list[Path], *, part: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Name of each way to recommend -> its metrics on the whole set."""
    names = {folder: read_items(folder)["item_key"] for folder in (known_folder(whole), whole)}
    items = map_items({"": names[known_folder(whole)]}, {"": names[whole]})
    is_new = items.before == 0
    for name, (model, modalities) in FLOORS.items():
        changed = {"model": model, "inputs": {"name": name, "modalities": modalities}}
        experiment = on_folder(runs[0], whole, **changed)
        if "train_counts" in experiment.module.model.state_dict():
            experiment.module.model.get_buffer("train_counts")[is_new] = 0  # nobody has clicked yet
        yield name, metrics_by_target(experiment, part=part, is_new=is_new)
    for run in runs:
        settings = read_run(RunFolder(run).read_config())
        for predict_ids in (False, True)[: 1 + settings.item_ids]:
            experiment = on_folder(run, whole)
            _fill(experiment, model_state(run), items, predict_ids=predict_ids)
            way = ("z predicted" if predict_ids else "z = 0") if settings.item_ids else ""
            name = f"{settings.model} {settings.transfer} {way} s{settings.seed}"
            yield name, metrics_by_target(experiment, part=part, is_new=is_new)


def _fill(
    experiment: Experiment, state: dict[str, Tensor], items: ItemMap, *, predict_ids: bool
) -> None:
    take_over(
        experiment.module.model,
        state,
        items=items,
        features=experiment.catalogue.features,
        predict_ids=predict_ids,
    )


def main() -> None:
    """Hides the newest items, or measures what becomes of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    hide = commands.add_parser("hide")
    hide.add_argument("folder", type=Path)
    measure = commands.add_parser("measure")
    measure.add_argument("folder", type=Path)
    measure.add_argument("runs", type=Path, nargs="+")
    measure.add_argument("--part", choices=["val", "test"], default="val")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if arguments.command == "hide":
        write_known(arguments.folder)
        print(known_folder(arguments.folder))
        return
    report = dict(measured(arguments.folder, arguments.runs, part=arguments.part))
    columns = [key for key in next(iter(report.values())) if "users" not in key]
    rows = [[name, *(f"{row[key]:.4f}" for key in columns)] for name, row in report.items()]
    users = next(iter(report.values()))
    title = f"{arguments.folder.name}, {arguments.part}: " + ", ".join(
        f"{users[f'{kind} users']:,.0f} targets are {kind}" for kind in ("new", "known")
    )
    print_table(title, ["", *columns], rows)
    write_report(f"new_items_{arguments.folder.name}_{arguments.part}", report, show=False)


if __name__ == "__main__":
    main()
