"""The worked example of docs/add_a_model.md does what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from missrec.app.train import train
from models import test_contracts as contracts

ROOT = Path(__file__).parents[2]
MODULE = "missrec.models.gru4rec"
FILES = dict(
    re.findall(
        r"^`(\S+)`:\n\n```\w+\n(.*?)^```", (ROOT / "docs/add_a_model.md").read_text(), re.M | re.S
    )
)


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's config with the page's YAML, while the page's module can be imported."""
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
    folder = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", folder)
    (tmp_path / "conf/model/gru4rec.yaml").write_text(FILES["conf/model/gru4rec.yaml"])
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(FILES["src/missrec/models/gru4rec.py"], module.__dict__)
    yield folder
    del sys.modules[MODULE]


def composed(conf: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("train", overrides=["model=gru4rec", *overrides])


def test_the_example_is_two_files_and_the_model_under_sixty_lines() -> None:
    assert list(FILES) == ["src/missrec/models/gru4rec.py", "conf/model/gru4rec.yaml"]
    assert FILES["src/missrec/models/gru4rec.py"].count("\n") < 60


@pytest.mark.parametrize(
    "contract",
    [
        contracts.test_more_padding_changes_nothing,
        contracts.test_a_sequence_does_not_depend_on_the_rest_of_its_batch,
        contracts.test_permuting_the_batch_permutes_the_embeddings,
        contracts.test_the_encoder_never_reads_the_target,
        contracts.test_what_is_said_at_an_item_does_not_depend_on_later_ones,
        contracts.test_the_history_decides_the_scores,
        partial(contracts.test_every_parameter_that_trains_gets_a_gradient, inputs=None),
        contracts.test_eight_sequences_can_be_overfitted,
    ],
)
def test_the_example_keeps_the_contracts(
    contract: object, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = composed(conf)
    monkeypatch.setattr(contracts, "config", lambda *names, **choices: cfg)
    contract("gru4rec", "transductive")  # type: ignore[operator]


@pytest.mark.slow
def test_the_contracts_can_be_run_on_their_own() -> None:
    command = ["pytest", "tests/models/test_contracts.py", "-k", "sasrec", "--collect-only"]
    environment = {key: value for key, value in os.environ.items() if key != "PROJECT_ROOT"}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_the_example_trains_on_the_demo(conf: Path, tmp_path: Path) -> None:
    sizes = [f"data.sources.demo_office.{size}" for size in ("num_users=60", "num_items=40")]
    metrics = train(
        composed(
            conf,
            "experiment=demo",
            "logger=csv",
            "trainer.max_epochs=2",
            "trainer.accelerator=cpu",
            "trainer.enable_progress_bar=false",
            "~callbacks.progress_bar",
            "names.experiment=test",
            "names.model=gru4rec",
            f"paths.data_dir={tmp_path / 'data'}",
            f"run_dir={tmp_path / 'run'}",
            *sizes,
        )
    )
    assert 0 < metrics["test/recall@10"] <= 1
