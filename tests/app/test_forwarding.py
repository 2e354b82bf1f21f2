"""What a stage takes over from the command of the run that starts from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Compose

from missrec.app.stages import _MACHINE, _SYSTEM, _is_named, stage_settings
from missrec.app.train import train
from run_settings import as_run
from synthetic import demo_source_sizes

PRETRAINED = (
    "experiment=demo",
    "stages=demo_pretrain",
    "model.embed_dim=8",
    "data.sources.demo_office.num_users=60",
    "data.sources.demo_office.num_items=40",
)


@pytest.mark.parametrize(
    ("override", "forwarded"),
    [
        ("trainer=ddp", True),
        ("trainer.devices=4", True),
        ("trainer.num_nodes=2", True),
        ("trainer.max_epochs=3", False),
        ("model=sasrec", True),
        ("+model.depth=3", True),
        ("model/adapter=none", True),
        ("models=1", False),
        ("transfer=inductive", False),
    ],
)
def test_a_pretraining_works_on_the_same_devices_for_its_own_number_of_epochs(
    override: str, *, forwarded: bool
) -> None:
    assert _is_named(override, (*_SYSTEM, *_MACHINE)) is forwarded


def test_a_pretraining_takes_over_what_the_model_s_settings_refer_to_and_nothing_it_chooses(
    compose_tiny: Compose,
) -> None:
    run = as_run(compose_tiny("datamodule.max_seq_len=20", "objective=gbce", base=PRETRAINED))
    stage = stage_settings(run, run.stages[0], source=None)
    assert stage.config["model"]["max_seq_len"] == run.config["model"]["max_seq_len"] == 20
    assert stage.config["objective"]["_target_"].endswith("InBatchSoftmax")
    assert (stage.transfer, run.transfer) == ("inductive", "transductive")


@pytest.mark.slow
def test_a_stage_that_would_not_fit_is_refused_before_it_trains(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    sizes = ",".join(f'"{one}"' for one in demo_source_sizes(num_users=30, num_items=25))
    cfg = compose_tiny(f'stage_overrides=["model.embed_dim=4",{sizes}]', base=PRETRAINED)
    with pytest.raises(ValueError, match=r"does not fit this one: .*there, .*here"):
        train(cfg)
    assert not list((tmp_path / "logs").glob("*/checkpoints"))
