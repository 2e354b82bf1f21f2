"""VQ-Rec: pre-training on some tiny domains, then fine-tuning on another in two stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import Compose
from trained_weights import moved, state

from missrec.app.stages import stage_settings
from missrec.app.train import train
from run_settings import as_run
from synthetic import demo_source_sizes

pytestmark = pytest.mark.slow

SMALL = (
    "model=vqrec",
    "model.embed_dim=8",
    "model.items.coding.quantizer.num_codebooks=4",
    "model.items.coding.quantizer.num_rotations=2",
    "seed=3",
)
SOURCES = demo_source_sizes(num_users=30, num_items=25)
TARGET = ("data.sources.demo_office.num_users=60", "data.sources.demo_office.num_items=40")
CODEBOOKS = {"items.codebooks.0.rotation", "items.codebooks.0.centroids"}
CODES = {"items.codewords", "items.present", *CODEBOOKS}


@pytest.fixture(scope="module")
def pretrained(compose_shared: Compose) -> Path:
    base = ("experiment=pretrain", *SMALL, *SOURCES)
    cfg = compose_shared("trainer.max_epochs=1", base=base)
    train(cfg)
    return Path(cfg.run_dir)


def test_fine_tuning_learns_the_permutation_first_and_then_the_embeddings(
    compose_tiny: Compose, tmp_path: Path, pretrained: Path
) -> None:
    base = ("experiment=finetune", *SMALL, *TARGET, "trainer.max_epochs=1")
    overrides = '["~callbacks.progress_bar", "trainer.enable_progress_bar=false"]'
    cfg = compose_tiny(
        f"pretrained={pretrained}", f"stage_overrides={overrides}", base=base, run="target"
    )
    metrics = train(cfg)
    run = as_run(cfg)
    source, first, second = (
        state(run_dir)
        for run_dir in (
            pretrained,
            stage_settings(run, run.stages[0], source=None).run_dir,
            tmp_path / "logs" / "target",
        )
    )
    assert first.keys() - source.keys() == {
        "items.permutation.logits",
        "items.permutation.permutation",
    }
    assert moved(source, first) == CODES  # the target's own
    columns = first["items.permutation.permutation"]
    assert columns.sort(dim=1).values.equal(torch.arange(columns.shape[1]).expand_as(columns))
    assert not columns.equal(columns.sort(dim=1).values)
    assert first.keys() - second.keys() == {"items.permutation.logits"}
    assert moved(first, second) == {"items.weight"}
    assert metrics["test/ndcg@10"] > 0


def test_the_first_stage_moves_the_permutation_from_its_start(
    compose_tiny: Compose, tmp_path: Path, pretrained: Path
) -> None:
    base = ("experiment=align_codes", *SMALL, *TARGET, "trainer.max_epochs=1")
    logits = []
    for lr in (1e-30, 0.1):  # the first moves nothing
        settings = (f"optimizer.lr={lr}", f"pretrained={pretrained}")
        train(compose_tiny(*settings, base=base, run=str(lr)))
        logits.append(state(tmp_path / "logs" / str(lr))["items.permutation.logits"])
    assert (logits[0] - logits[1]).abs().mean() > 0.01


def test_without_its_finetuning_file_there_is_one_stage_and_no_permutation(
    compose_tiny: Compose, tmp_path: Path, pretrained: Path
) -> None:
    base = ("experiment=finetune", "finetuning=none", *SMALL, *TARGET, "trainer.max_epochs=1")
    train(compose_tiny(f"pretrained={pretrained}", base=base, run="target"))
    before, after = state(pretrained), state(tmp_path / "logs" / "target")
    assert before.keys() == after.keys()
    assert moved(before, after) == {*CODES, "items.weight"}
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["target"]
