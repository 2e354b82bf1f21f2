"""Two processes train, cluster and rank as one does with the whole batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing
from torch.utils._pytree import tree_leaves

from distributed_worker import (
    CASES,
    Trained,
    cluster_tokens,
    compose_case,
    losses_of_rows,
    run,
    train_case,
)
from missrec.app.model import build
from missrec.training.strategies.launcher import hold_port
from ranking_worker import CASES as RANKING_CASES
from ranking_worker import rank_users
from run_settings import prepare_data

pytestmark = pytest.mark.slow
LIMIT_SEC = 300
"""More than a slow machine takes; processes that wait for each other would never end."""

Alone = Callable[[str], Trained]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    for name in CASES:
        prepare_data(compose_case(name, folder))
    return folder


@pytest.fixture(scope="module")
def alone(data_dir: Path) -> Alone:
    """What one process finds in a case."""
    return cache(lambda name: train_case(name, data_dir, num_processes=1))


@pytest.fixture(scope="module")
def found(data_dir: Path) -> list[dict[str, Any]]:
    """What each of two processes found; started once, for starting them takes long."""
    with hold_port(0) as held:
        port = held.getsockname()[1]
        processes = multiprocessing.spawn(run, args=(str(data_dir), port), nprocs=2, join=False)
        assert processes is not None
        until = time.monotonic() + LIMIT_SEC
        while not processes.join(timeout=1):
            if time.monotonic() > until:
                for process in processes.processes:
                    process.kill()
                pytest.fail("the processes wait for each other")
    return [torch.load(data_dir / f"{index}.pt", weights_only=False) for index in (0, 1)]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_no_batch_can_be_cut_evenly_and_the_last_has_one_row(data_dir: Path) -> None:
    for name in CASES:
        cfg = compose_case(name, data_dir)
        if cfg.datamodule.together or cfg.datamodule.balanced:
            continue  # such batches hold as many targets, not as many sequences
        datamodule = build(cfg, "datamodule")
        datamodule.setup()
        sizes = sorted(len(batch.user_ids) for batch in datamodule.train_dataloader())
        assert sizes[0] == 1
        assert sizes[1] % 2 == 1
        assert set(sizes[1:]) == {sizes[1]}


def test_both_processes_end_with_the_same_weights_and_interests(
    found: list[dict[str, Any]], case: str
) -> None:
    first, second = (process["trained"][case] for process in found)
    torch.testing.assert_close(second.weights, first.weights, rtol=0, atol=0)
    torch.testing.assert_close(second.gradients, first.gradients, rtol=0, atol=0)
    assert second.logged == first.logged
    if first.gradients:
        assert second.initial_seed != first.initial_seed


def test_two_processes_learn_what_one_learns(
    found: list[dict[str, Any]], alone: Alone, case: str
) -> None:
    one, two = alone(case), found[0]["trained"][case]
    if not one.gradients or one.random or case == "with dropout":
        pytest.skip("nothing to train, or random numbers in the loss")
    assert one.logged.keys() == two.logged.keys() > {"train/loss"}
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(two.logged, one.logged, **close)
    torch.testing.assert_close(two.gradients, one.gradients, **close)
    torch.testing.assert_close(two.weights, one.weights, **close)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("sharded")])
def test_a_run_with_sharded_tables_resumes_from_its_whole_checkpoint(
    found: list[dict[str, Any]], data_dir: Path, name: str
) -> None:
    for process in found:
        trained = process["trained"][name]
        (table,) = trained.sharded
        assert table in {"item_embeddings.weight", "items.weight", "item_offsets.weight"}
        for resumed in process["resumed"][name]:
            torch.testing.assert_close(resumed, trained.weights, rtol=0, atol=0)
    saved = torch.load(data_dir / name / "epoch=1.ckpt", weights_only=True)
    states = chain(saved["state_dict"].values(), saved["optimizer_states"][0]["state"].values())
    tensors = [leaf for state in states for leaf in tree_leaves(state)]
    assert {type(leaf) for leaf in tensors} == {torch.Tensor}


def test_two_processes_rank_as_one(found: list[dict[str, Any]], alone: Alone, case: str) -> None:
    one = alone(case)
    assert [process["trained"][case].ranked for process in found] == [one.ranked] * 2


@pytest.mark.parametrize("case", RANKING_CASES)
def test_each_of_two_processes_finds_the_metrics_of_one(
    found: list[dict[str, Any]], case: str
) -> None:
    alone = rank_users([list(range(10))])
    assert alone["users"] == list(range(10))
    assert [process["ranked"][case] for process in found] == [alone, alone]


def test_two_processes_find_the_clusters_of_one(found: list[dict[str, Any]]) -> None:
    one = cluster_tokens()
    for process in found:
        torch.testing.assert_close(process["clusters"], one, rtol=0, atol=0)


@pytest.mark.parametrize("loss", ["views", "sequences", "mutual information"])
def test_the_parts_of_a_loss_make_the_loss_and_its_gradient(
    found: list[dict[str, Any]], loss: str
) -> None:
    value, gradient = losses_of_rows()[loss]
    parts, gradients = zip(*(process["losses"][loss] for process in found), strict=True)
    assert sum(parts) / 2 == pytest.approx(value)
    of_rows = torch.tensor([*gradients[0], *gradients[1]]) / 2
    torch.testing.assert_close(of_rows, torch.tensor(gradient)[[0, 2, 4, 1, 3]])


def test_gathering_and_parts_of_a_loss(found: list[dict[str, Any]]) -> None:
    first, second = (process["collectives"] for process in found)
    for own, start, piece, process in (
        ([0, 2, 4], 0, [0, 1], first),
        ([1, 3], 3, [2, 3, 4], second),
    ):
        assert process.pop("own") == own
        assert process.pop("everyone") == [0, 2, 4, 1, 3]
        assert process.pop("first") == start
        assert process.pop("gradient") == [(1 + 2) * 2 * row for row in own]
        assert process.pop("piece") == piece
        assert process.pop("sizes of an empty and a full one") == [3, 2]
        assert process.pop("nobody has any") == [0, 2]
    assert first == {
        "mean": pytest.approx(2 * 3 / 5 * (0 + 2 + 4) / 3),
        "sum": 2 * (0 + 2 + 4),
        "mean where one has none": 2 * 6,
    }
    assert second == {
        "mean": pytest.approx(2 * 2 / 5 * (1 + 3) / 2),
        "sum": 2 * (1 + 3),
        "mean where one has none": 0,
    }
