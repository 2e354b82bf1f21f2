"""A model that trains in two stages: one command runs both, on the same data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import Compose
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from torch import Tensor
from torch.nn import functional as F

from missrec.app import train as door
from missrec.app.build import Experiment
from missrec.app.settings import RunSettings, read_run
from missrec.app.stages import stage_settings
from missrec.app.train import train, train_run
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from run_settings import as_run

OVERRIDES = ["trainer.max_epochs=2", "~callbacks.progress_bar", "trainer.enable_progress_bar=false"]
TWO_STAGES = (
    "model=s3rec",
    "trainer.max_epochs=2",
    f"stage_overrides={json.dumps(OVERRIDES)}",
)


def stage_of(cfg: DictConfig) -> RunSettings:
    run = as_run(cfg)
    return stage_settings(run, run.stages[0], source=None)


def first_stage(cfg: DictConfig) -> Path:
    return stage_of(cfg).run_dir


class Started:
    """What each run of a command had when its training started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.experiments: list[Experiment] = []
        self.states: list[dict[str, Tensor]] = []
        self.resumed_from: list[Path | None] = []
        original = door.fit

        def recorded(
            experiment: Experiment, trainer: Trainer, *, resume_from: Path | None
        ) -> tuple[str | None, dict[str, float]]:
            state = experiment.module.model.state_dict()
            self.states.append({name: value.clone() for name, value in state.items()})
            self.experiments.append(experiment)
            self.resumed_from.append(resume_from)
            return original(experiment, trainer, resume_from=resume_from)

        monkeypatch.setattr(door, "fit", recorded)


class Straight(NamedTuple):
    """Both stages without a stop.

    Attributes:
        metrics: of the second.
        first: folder of the first.
        started: what each had.
    """

    metrics: dict[str, float]
    first: Path
    started: Started


@pytest.fixture(scope="module")
def straight(compose_shared: Compose) -> Straight:
    with pytest.MonkeyPatch.context() as patch:
        started = Started(patch)
        cfg = compose_shared(*TWO_STAGES)
        return Straight(train(cfg), first_stage(cfg), started)


@pytest.mark.slow
def test_the_second_stage_starts_from_all_that_the_first_learnt_but_its_tasks(
    straight: Straight,
) -> None:
    started = straight.started
    assert len(started.states) == 2
    content = torch.load(chosen_checkpoint(straight.first), weights_only=True)
    learnt = {name.removeprefix("model."): value for name, value in content["state_dict"].items()}
    before, second = started.states
    handed_over = {name for name in learnt if not name.startswith("tasks.")}
    assert set(second) == handed_over
    assert {name.partition(".")[0] for name in handed_over} == {"items", "encoder"}
    for name in handed_over:
        assert second[name].equal(learnt[name])
        assert not second[name].equal(before[name]), name


@pytest.mark.slow
def test_the_first_stage_learns_from_the_tasks_and_the_second_from_the_next_item(
    straight: Straight,
) -> None:
    first, second = straight.started.experiments
    terms = []
    for experiment in (first, second):
        batch = next(iter(experiment.datamodule.train_dataloader()))
        terms.append(set(experiment.module.model.training_loss(batch).terms))
    assert terms == [{"aap", "mip", "map", "sp"}, {"ranking"}]
    model = second.module.model.eval()
    scores = model.score(model.encode(batch), model.candidates(torch.arange(1, 41)))
    expected = F.cross_entropy(scores, batch.target_ids - 1)
    torch.testing.assert_close(model.training_loss(batch).total, expected)


@pytest.mark.slow
def test_without_pretraining_there_is_one_stage(compose_tiny: Compose, tmp_path: Path) -> None:
    train(compose_tiny(*TWO_STAGES, "stages=none"))
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["run"]


@pytest.mark.slow
def test_jobs_that_differ_in_fine_tuning_share_the_first_stage(
    compose_tiny: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started(monkeypatch)
    train(compose_tiny(*TWO_STAGES, run="a"))
    train(compose_tiny(*TWO_STAGES, "optimizer.lr=0.01", run="b"))
    assert len(started.experiments) == 3


def test_the_first_stage_is_named_by_what_it_depends_on(compose_tiny: Compose) -> None:
    base = first_stage(compose_tiny(*TWO_STAGES))
    for same in ("optimizer.lr=0.01", "trainer.max_epochs=9", "freeze=all_but_adapters"):
        assert first_stage(compose_tiny(*TWO_STAGES, same)) == base
    for other in (
        "seed=2",
        "model.tasks.mask_prob=0.5",
        "model.embed_dim=4",
        "data.sources.demo_office.num_users=70",
        "split=global_time",
        "datamodule.max_seq_len=20",
        'stage_overrides=["trainer.max_epochs=3"]',
    ):
        assert first_stage(compose_tiny(*TWO_STAGES, other)) != base


@pytest.mark.slow
def test_a_first_stage_that_was_stopped_goes_on_where_it_was(
    compose_tiny: Compose, straight: Straight, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(compose_tiny(*TWO_STAGES))
    config = {**stage.config, "trainer": {**stage.config["trainer"], "max_epochs": 1}}
    train_run(stage._replace(config=config))
    (stage.run_dir / "metrics.json").unlink()  # a killed run has none
    started = Started(monkeypatch)
    assert train(compose_tiny(*TWO_STAGES, run="stopped")) == straight.metrics
    assert started.resumed_from == [stage.run_dir / "checkpoints" / "last.ckpt", None]
    expected = (straight.first / "metrics.json").read_bytes()
    assert (stage.run_dir / "metrics.json").read_bytes() == expected


@pytest.mark.slow
def test_a_second_stage_that_was_stopped_goes_on_from_its_saved_config(
    compose_tiny: Compose, straight: Straight, tmp_path: Path
) -> None:
    train(compose_tiny(*TWO_STAGES, "trainer.max_epochs=1", run="stopped"))
    saved = RunFolder(tmp_path / "logs" / "stopped").read_config()
    assert saved["stages"][0]["checkpoint"]
    saved["trainer"]["max_epochs"] = 2
    assert train_run(read_run(saved)._replace(resume=True)) == straight.metrics


def test_the_first_stage_reads_the_data_and_split_that_an_experiment_chose(
    compose_tiny: Compose,
) -> None:
    base = (
        "experiment=demo_pretrain",
        "model=s3rec",
        "transfer=transductive",
        "~model/pretraining@model",  # it has none
        "split=global_time",
    )
    cfg = compose_tiny("stages=self_supervised", base=base)
    assert cfg.data.name == "demo_sources"
    stage = stage_of(cfg)
    assert stage.data == as_run(cfg).data
    assert stage.config["split"] == cfg.split
    assert stage.config["model"]["self_supervised"]
    assert stage.stages == ()


@pytest.mark.parametrize(("group", "key"), [("data", "name"), ("split", "_target_")])
def test_a_first_stage_that_would_read_other_data_is_refused(
    compose_tiny: Compose, group: str, key: str
) -> None:
    cfg = compose_tiny(*TWO_STAGES)
    OmegaConf.update(cfg, f"{group}.{key}", "another")  # as the file of an experiment could
    with pytest.raises(ValueError, match=f"would read other data.*all settings of `{group}`"):
        stage_of(cfg)
