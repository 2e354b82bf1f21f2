"""Every experiment with every ablation composes, builds and takes one step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir

from missrec.app.build import build_experiment
from missrec.app.train import build_trainer
from missrec.types import DiscoversInterests
from run_settings import as_run, prepare_data

pytestmark = pytest.mark.slow

EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
ABLATIONS = sorted(path.stem for path in (ROOT / "conf" / "ablation").glob("*.yaml"))
DEMO = {"demo_office", "demo_kitchen", "demo_garden", "demo_music"}
WITHOUT_TRAINING = "demo_most_popular"
OF_ANOTHER_MODEL = {"align_codes", "self_supervised"}
"""The ablations are MISSRec's; these go with none."""
RUNS = [
    (experiment, ablation)
    for experiment in EXPERIMENTS
    for ablation in ABLATIONS
    if experiment != WITHOUT_TRAINING and (ablation == "full" or experiment not in OF_ANOTHER_MODEL)
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_the_experiments_are_found() -> None:
    known = {"scratch", "pretrain", "finetune", "demo", WITHOUT_TRAINING, *OF_ANOTHER_MODEL}
    assert known <= set(EXPERIMENTS)


@pytest.mark.parametrize(("experiment", "ablation"), RUNS)
def test_an_experiment_with_an_ablation_takes_a_step(
    experiment: str, ablation: str, data_dir: Path, tmp_path: Path
) -> None:
    names = {"pretrain", "demo_pretrain"}
    domains = DEMO - {"demo_office"} if experiment in names else {"demo_office"}
    sizes = [
        f"data.sources.{name}.{size}"
        for name in domains
        for size in ("num_users=20", "num_items=15")
    ]
    overrides = [
        f"experiment={experiment}",
        f"ablation={ablation}",
        *sizes,
        "names.experiment=test",
        "names.model=test",
        "logger=csv",
        "trainer.accelerator=cpu",
        f"paths.data_dir={data_dir}",
        f"run_dir={tmp_path}",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    prepare_data(cfg)
    build_trainer(as_run(cfg))
    experiment = build_experiment(as_run(cfg))
    module = experiment.module
    optimizer = module.configure_optimizers()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    batch = next(iter(experiment.datamodule.train_dataloader()))
    if isinstance(module.model, DiscoversInterests):
        module.model.refresh_interests()
    loss = module.model.training_loss(batch).total
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert not all(map(torch.equal, before, module.parameters()))
