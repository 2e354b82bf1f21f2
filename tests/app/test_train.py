from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import torch.utils.deterministic
import yaml
from conftest import OFFICE, Compose
from pytorch_lightning import Trainer

from missrec.app import fitting
from missrec.app.evaluate import evaluate
from missrec.app.train import train
from missrec.metrics.paired import read_ranks, target_ranks
from missrec.metrics.ranking import ranking_metrics
from missrec.nn.precision import products
from missrec.runs.lists import read_lists
from run_settings import evaluation
from synthetic import demo_source_sizes

pytestmark = pytest.mark.slow


def test_a_run_folder_records_what_ran_and_what_came_out(
    compose_tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "validate", pytest.fail)  # the chosen epoch has been validated
    metrics = train(compose_tiny("trainer.max_epochs=2"))
    run_dir = tmp_path / "logs" / "run"
    curve = pl.read_csv(run_dir / "csv/version_0/metrics.csv")["val/ndcg@10"].drop_nulls()
    assert metrics["val/ndcg@10"] == pytest.approx(curve.max(), abs=1e-7)
    assert curve[-1] == metrics["val/ndcg@10"]  # where the loggers' summaries take it from
    assert len(curve) == 3
    assert json.loads((run_dir / "metrics.json").read_text()) == metrics
    assert metrics["epochs"] == 2
    assert metrics["stopped_early"] == 0
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert config["model"]["embed_dim"] == 8
    assert str(run_dir) not in (run_dir / "config.yaml").read_text()
    provenance = json.loads((run_dir / "provenance.json").read_text())
    made_by = {"python", "platform", "packages", "git", "pretrained"}
    sums = {"sha256", "metrics_sha256"}
    assert set(provenance) == {*made_by, *sums, "data", "accepted_changes", "tested"}
    assert provenance["pretrained"] is None

    users = target_ranks(read_ranks(run_dir / "test_ranks_demo_office.parquet"))
    assert len(users.user_ids) == 60
    from_ranks = ranking_metrics(users.num_greater, users.num_equal, cutoffs=[10, 50])
    assert {f"test/{key}": value for key, value in from_ranks.items()}.items() <= metrics.items()

    lists = read_lists(run_dir / "test_lists_demo_office.parquet")
    assert lists["place"].to_list() == [*range(1, 11)] * 60
    ranks = read_ranks(run_dir / "test_ranks_demo_office.parquet")
    hits = lists.join(ranks, left_on=["user_id", "item_id"], right_on=["user_id", "target_id"])
    assert metrics["test/tie_rate"] == 0
    assert len(hits) / 60 == pytest.approx(metrics["test/recall@10"])
    assert (hits["place"] == hits["rank"]).all()


NETWORKS = ("missrec_plus", "missrec_released", "vqrec")


@pytest.mark.parametrize("model", NETWORKS)
def test_memory_need_not_be_filled_for_a_run_that_is_the_same_each_time(
    compose_tiny: Compose, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filled(*args: Any, **kwargs: Any) -> AbstractContextManager[None]:
        assert not memory.fill_uninitialized_memory
        memory.fill_uninitialized_memory = True  # by NaN, as torch has it where nothing is said
        return products(*args, **kwargs)

    memory: Any = torch.utils.deterministic
    assert memory.fill_uninitialized_memory
    base = ("experiment=demo", f"model={model}", *OFFICE[1:3], "trainer.max_epochs=2")
    metrics = train(compose_tiny(base=base))
    assert memory.fill_uninitialized_memory
    monkeypatch.setattr(fitting, "products", filled)
    assert train(compose_tiny(base=base, run="filled")) == metrics


def test_evaluate_gives_the_test_metrics_of_the_run_exactly(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    metrics = train(compose_tiny("trainer.max_epochs=3"))
    run_dir = tmp_path / "logs" / "run"
    with pytest.raises(ValueError, match=r"accelerator \(tpu\): "):
        evaluate(evaluation(run_dir, tmp_path / "data", "accelerator=tpu"))
    report = evaluate(evaluation(run_dir, tmp_path / "data"))
    assert report["metrics"] == {k: v for k, v in metrics.items() if k.startswith("test/")}
    assert sum(bucket["test_users"] for bucket in report["buckets"]["demo_office"]) == 60
    assert (run_dir / "evaluation" / "popularity_demo_office.png").stat().st_size > 0
    recorded, again = run_dir / "test_lists_demo_office.parquet", "lists_demo_office.parquet"
    assert read_lists(run_dir / "evaluation" / again).equals(read_lists(recorded))


@pytest.mark.parametrize("model", ["last_item_transition", "most_popular", "nearest_neighbor"])
def test_a_model_without_parameters_is_ranked_without_training(
    compose_tiny: Compose, tmp_path: Path, model: str
) -> None:
    sizes = [override for override in OFFICE if override.startswith("data.")]
    base = ("experiment=demo", f"model={model}", *sizes)
    metrics = train(compose_tiny(base=base))
    run_dir = tmp_path / "logs" / "run"
    users = target_ranks(read_ranks(run_dir / "test_ranks_demo_office.parquet"))
    from_ranks = ranking_metrics(users.num_greater, users.num_equal, cutoffs=[10])
    assert metrics["test/recall@10"] == from_ranks["recall@10"]
    report = evaluate(evaluation(run_dir, tmp_path / "data", "lists.cold_user=9"))
    assert report["lists"] == {"cutoffs": [10], "cold_item": 4, "cold_user": 9}
    groups = [found["test/cold_user_users"] for found in (metrics, report["metrics"])]
    assert 0 < groups[0] < groups[1] < 60
    assert "epochs" not in metrics
    assert report["metrics"]["test/recall@10"] == metrics["test/recall@10"] > 0


def test_the_same_seed_gives_the_same_run_and_another_seed_another(compose_tiny: Compose) -> None:
    first = train(compose_tiny("trainer.max_epochs=2", run="a"))
    again = train(compose_tiny("trainer.max_epochs=2", run="b"))
    other = train(compose_tiny("trainer.max_epochs=2", "seed=2", run="c"))
    assert first == again
    assert first != other


def test_pretraining_mixes_domains_and_reports_their_mean(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    sizes = demo_source_sizes(num_users=30, num_items=25)
    base = ("experiment=pretrain", "model.embed_dim=8", *sizes)
    settings = ("trainer.max_epochs=1", "callbacks.snapshots.every_n_epochs=1")
    metrics = train(compose_tiny(*settings, base=base))
    assert (tmp_path / "logs" / "run" / "checkpoints" / "snapshot_000.ckpt").is_file()
    by_domain = [metrics[f"test/demo_{name}/ndcg@10"] for name in ("kitchen", "garden", "music")]
    assert metrics["test/ndcg@10"] == pytest.approx(sum(by_domain) / 3)
    for name, average in (("novelty@10", 1 / 3), ("cold_user_users", 1)):
        own = [metrics[f"test/demo_{domain}/{name}"] for domain in ("kitchen", "garden", "music")]
        assert metrics[f"test/{name}"] == pytest.approx(sum(own) * average)
    assert len(list((tmp_path / "logs" / "run").glob("test_ranks_*.parquet"))) == 3
