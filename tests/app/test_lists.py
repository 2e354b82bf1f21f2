"""What test users are recommended, and how that is measured; models that need no training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import OFFICE, Compose

from missrec.app.build import Experiment, build_experiment
from missrec.app.lists import MeasuredLists, item_facts, measure_lists
from missrec.app.settings import LISTS_BEFORE, RunSettings, read_lists
from missrec.data.domain import read_items
from missrec.data.split_domains import SplitDomains
from missrec.data.splits import LeaveOneOut
from missrec.metrics.beyond_accuracy import list_metrics
from missrec.metrics.ranking import TargetRanks
from missrec.training.ranking import DomainRanking
from run_folders import ROOT, run_config
from run_settings import as_run, prepare_data
from synthetic import NUM_ITEMS, prepared_domain, text_and_image, write_domain_folder

CPU = torch.device("cpu")
SIZES = tuple(override for override in OFFICE if override.startswith("data."))


def ranked(compose_tiny: Compose, model: str, *overrides: str) -> tuple[RunSettings, Experiment]:
    """A run of the demo, ranked with a model as it is before any training."""
    cfg = compose_tiny(*overrides, base=("experiment=demo", f"model={model}", *SIZES))
    prepare_data(cfg)
    run = as_run(cfg)
    experiment = build_experiment(run)
    metrics = run.config["metrics"]
    ranking = DomainRanking(
        experiment.module.model.eval(),
        experiment.datamodule.domains.spans[0],
        users_per_tile=16,
        items_per_tile=16,
        filter_seen=metrics["filter_seen"],
        device=CPU,
    )
    for batch in experiment.datamodule.test_dataloader()[0]:
        ranking.add(batch)
    users = [torch.cat(column) for column in zip(*ranking.finish(), strict=True)]
    order = users[0].argsort()
    experiment.module.target_ranks = [TargetRanks(*(column[order] for column in users))]
    return run, experiment


def by_hand(experiment: Experiment, *, k: int, filter_seen: bool) -> dict[int, list[int]]:
    """User -> the best items: all scores sorted, equal ones by key."""
    domains, model = experiment.datamodule.domains, experiment.module.model
    keys = read_items(domains.folders[0])["item_key"].to_list()
    item_ids = torch.arange(1, len(keys) + 1)
    found = {}
    for batch in experiment.datamodule.test_dataloader()[0]:
        scores = model.score(model.encode(batch), model.candidates(item_ids))  # type: ignore[operator]
        for row, user in enumerate(batch.user_ids.tolist()):
            seen = set(batch.item_ids[row].tolist()) - {int(batch.target_ids[row])}
            allowed = [i for i in item_ids.tolist() if not (filter_seen and i in seen)]
            allowed.sort(key=lambda item, row=row: (-float(scores[row, item - 1]), keys[item - 1]))
            found[user] = allowed[:k]
    return found


@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("model", ["most_popular", "last_item_transition"])
def test_the_lists_are_the_best_items_of_the_ranking_and_ties_go_by_key(
    compose_tiny: Compose, model: str, filter_seen: bool
) -> None:
    run, experiment = ranked(compose_tiny, model, f"metrics.filter_seen={filter_seen}")
    (lists,) = measure_lists(run, experiment, device=CPU).by_domain
    expected = by_hand(experiment, k=10, filter_seen=filter_seen)
    users = experiment.module.target_ranks[0].user_ids.tolist()
    assert {user: own.tolist() for user, own in zip(users, lists, strict=True)} == expected


def test_lists_are_shorter_than_k_where_there_are_fewer_items(compose_tiny: Compose) -> None:
    settings = ("metrics.lists.cutoffs=[35,100]", "metrics.filter_seen=true")
    run, experiment = ranked(compose_tiny, "most_popular", *settings)
    tested = measure_lists(run, experiment, device=CPU)
    (lists,) = tested.by_domain
    assert lists.shape == (60, 40)
    assert ((lists == 0).any(axis=1)).all()  # everybody has seen something
    assert tested.metrics["test/coverage@100"] == 1
    assert tested.metrics["test/popularity@35"] > tested.metrics["test/popularity@100"]


def test_figures_follow_from_the_lists_the_ranks_and_the_data(compose_tiny: Compose) -> None:
    limits = ("metrics.lists.cold_item=20", "metrics.lists.cold_user=9")
    run, experiment = ranked(compose_tiny, "last_item_transition", *limits)
    tested = measure_lists(run, experiment, device=CPU)
    domains, users = experiment.datamodule.domains, experiment.module.target_ranks[0]
    (facts,) = item_facts(domains)
    assert set(facts.features) == {"text", "image"}  # though this model reads none
    targets = users.target_ids.numpy()
    expected = list_metrics(tested.by_domain[0], target_ids=targets, items=facts, cutoffs=[10])
    assert (
        expected.items() <= {k.removeprefix("test/"): v for k, v in tested.metrics.items()}.items()
    )

    sequences = np.split(domains.mixed.items, domains.mixed.offsets[1:-1])
    training = [own[:-2].tolist() for own in sequences]
    groups = {
        "item": [sum(own.count(target) for own in training) <= 20 for target in targets.tolist()],
        "user": [len(own) - 1 <= 9 for own in sequences],
    }
    for name, cold in groups.items():
        rows = np.flatnonzero(cold)
        assert 0 < len(rows) < 60
        assert tested.metrics[f"test/cold_{name}_users"] == len(rows)
        above, tied = users.num_greater[rows].numpy(), users.num_equal[rows].numpy()
        recall = ((10 - above) / (1 + tied)).clip(0, 1)  # in expectation over the order of ties
        assert tested.metrics[f"test/cold_{name}_recall@10"] == pytest.approx(recall.mean())


def test_without_cut_offs_nothing_is_measured(compose_tiny: Compose) -> None:
    run, experiment = ranked(compose_tiny, "most_popular", "metrics.lists.cutoffs=[]")
    assert measure_lists(run, experiment, device=CPU) == MeasuredLists([], {})


def test_what_is_known_of_items_is_of_training_alone(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "tiny")
    (facts,) = item_facts(SplitDomains([folder], LeaveOneOut()))
    # Training sequences 1 2 3 | 3 | 5 4 | 2 5 3 1; item 6 does not occur.
    assert facts.counts.tolist() == [0, 2, 2, 3, 1, 2, 0]
    assert facts.user_counts.tolist() == [0, 2, 2, 3, 1, 2, 0]
    assert facts.num_users == 4
    assert facts.features["image"].item_ids.tolist() == [1, 3, 4, 6]
    assert facts.num_items == NUM_ITEMS


def test_of_several_domains_each_has_its_own_facts(tmp_path: Path) -> None:
    images = text_and_image(num_items=3, missing_images=(2,))
    repeats = [[1, 1, 1, 2, 3], [1, 2, 3]]
    twice = prepared_domain(repeats, name="b", num_items=3, features=images)
    folders = [write_domain_folder(tmp_path / "a"), write_domain_folder(tmp_path / "b", twice)]
    _, facts = item_facts(SplitDomains(folders, LeaveOneOut()))
    assert facts.counts.tolist() == [0, 4, 0, 0]  # training sequences 1 1 1 | 1
    assert facts.user_counts.tolist() == [0, 2, 0, 0]
    assert facts.num_users == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda features: features.joinpath("text.npy").write_bytes(b"x"), "text.npy has 1 bytes"),
        (lambda features: features.rename(features.with_name("gone")), "has no features"),
    ],
    ids=["damaged", "none"],
)
def test_without_features_of_a_domain_diversity_is_left_out_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any, said: str
) -> None:
    caplog.set_level(logging.INFO)
    folder = write_domain_folder(tmp_path / "tiny")
    damage(folder / "features")
    (facts,) = item_facts(SplitDomains([folder], LeaveOneOut()))
    assert facts.features == {}
    assert said in caplog.text
    assert "the diversity of lists is not measured" in caplog.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cutoffs": 10}, r"lists.cutoffs \(10\) must be a list of whole numbers"),
        ({"cutoffs": [0]}, r"lists.cutoffs \(\[0\]\) must be a list of whole numbers"),
        ({"cutoffs": [True]}, r"lists.cutoffs \(\[True\]\) must be a list"),
        ({"cutoffs": [5, 5]}, r"lists.cutoffs \(\[5, 5\]\) names a number twice"),
        ({"cold_item": -1}, r"lists.cold_item \(-1\) must be a whole number, 0 or more"),
        ({"cold_user": 2.5}, r"lists.cold_user \(2.5\) must be a whole number, 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_lists({**LISTS_BEFORE._asdict(), **changed})


def test_a_run_of_before_the_settings_has_what_they_say_by_default() -> None:
    assert read_lists(None) == LISTS_BEFORE
    assert run_config()["metrics"]["lists"] == LISTS_BEFORE._asdict()
    text = (ROOT / "conf" / "train.yaml").read_text(encoding="utf-8")
    for name in ("cold_item", "cold_user"):
        value = getattr(LISTS_BEFORE, name)
        assert f"    {name}: {value} # @before {value};" in text
